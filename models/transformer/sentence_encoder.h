// Sentence embeddings (Reimers & Gurevych, EMNLP 2019): a text as one vector, near to those of texts with a similar meaning.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "engine/io/tokenizer.h"
#include "models/transformer/encoder.h"

namespace plumb::transformer {

enum class Pooling : uint8_t {
  mean,
  first,
  max
};  ///< over the tokens of a text: their mean, the first ([CLS]), the largest of each feature

class SentenceEncoder {
 public:
  SentenceEncoder(Encoder encoder, Tokenizer tokenizer, int64_t max_length, Pooling pooling = Pooling::mean, bool normalize = true);
  /// A model in the layout of the sentence-transformers library, such as all-MiniLM-L6-v2: a BERT encoder (load_pretrained), tokenizer.json
  /// or vocab.txt, and modules.json with the kind of pooling; without modules.json mean pooling, normalized.
  /// Throws as load_pretrained does, and ConfigError for modules that are not known.
  static SentenceEncoder load(const std::string& directory);

  /// Embeddings [texts, width], each text cut to max_length tokens with its markers; of length 1 if normalized. A text is embedded the same
  /// alone and among others, up to rounding. `batch` texts of similar length are computed at once, after which `progress`
  /// is told how many are done of how many.
  Tensor embed(const std::vector<std::string>& texts, int64_t batch = 32,
               const std::function<void(int64_t done, int64_t total)>& progress = {}) const;

  const Encoder& encoder() const { return encoder_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  int64_t max_length() const { return max_length_; }
  int64_t width() const { return encoder_.config().width; }

 private:
  Tensor embed_tokens(const std::vector<std::vector<int32_t>>& texts) const;

  Encoder encoder_;
  Tokenizer tokenizer_;
  int64_t max_length_;
  Pooling pooling_;
  bool normalize_;
};

}  // namespace plumb::transformer
