// The deep averaging network for texts, and word vectors from the documents that words occur in.
#pragma once
#include <string>
#include <vector>

#include "engine/core/generator.h"
#include "models/nn/dropout.h"
#include "models/nn/embedding.h"
#include "models/nn/linear.h"

namespace plumb::temporal {

struct WordAverageConfig {
  int64_t vocab = 3000;
  int64_t padding = 0;     ///< the token that fills short texts and is not seen
  int64_t embedding = 64;  ///< numbers a word
  int64_t hidden = 64;
  double dropout = 0.5;  ///< before each of the two layers
  int64_t classes = 2;
  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// head(dropout(relu(fc(dropout(mean over the words of their embeddings))))) (Iyyer et al., ACL 2015): the order of words does not count.
class WordAverage : public nn::Module {
 public:
  explicit WordAverage(const WordAverageConfig& config);
  /// tokens [B, T] → logits [B, classes]; a text without words has the mean 0. Throws ShapeError for another rank.
  Tensor operator()(const Tensor& tokens) const { return head(features(tokens)); }
  /// What the head reads: [B, hidden].
  Tensor features(const Tensor& tokens) const;
  const WordAverageConfig& config() const { return config_; }

  nn::Embedding embedding;  ///< set its weight for word vectors from elsewhere
  nn::Linear fc, head;

 private:
  WordAverageConfig config_;
  nn::Dropout dropout_;
};

struct WordVectorOptions {
  int64_t width = 64;
  int64_t iterations = 4;  ///< of the subspace; more are more exact
};
/// Latent semantic word vectors (Deerwester et al. 1990) [vocabulary, width], f32. With rows x_d = idf ⊙ 1[w in d], divided by their
/// norms, and x ≈ u diag(s) vᵀ of rank `width` (found by iterating on a random subspace; Halko, Martinsson & Tropp 2011), word w has
/// idf(w) v_w, shifted and scaled so that the documents' mean vectors have mean 0 and deviation 1 in every direction; words that no
/// document has are 0. documents are words by number, in [0, vocabulary). Throws ValueError for fewer documents or words than `width`,
/// width < 1 or iterations < 1, IndexError for a word outside.
Tensor latent_word_vectors(const std::vector<std::vector<int64_t>>& documents, int64_t vocabulary, const WordVectorOptions& options,
                           Generator& generator);

}  // namespace plumb::temporal
