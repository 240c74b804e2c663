// The convolution network for sentences (Kim, EMNLP 2014): windows of several widths over word vectors, the strongest answer of each
// filter.
#pragma once
#include <string>
#include <vector>

#include "models/nn/containers.h"
#include "models/nn/conv.h"
#include "models/nn/dropout.h"
#include "models/nn/embedding.h"
#include "models/nn/linear.h"

namespace plumb::temporal {

struct TextCnnConfig {
  int64_t vocab = 10000;
  int64_t padding = 0;                   ///< the token that fills short sequences; −1: none
  int64_t embedding = 128;               ///< numbers a token
  std::vector<int64_t> widths{3, 4, 5};  ///< of the windows, in tokens
  int64_t filters = 100;                 ///< a width
  double dropout = 0.5;                  ///< before the last layer
  int64_t classes = 2;

  std::string to_json() const;
  static TextCnnConfig from_json(const std::string& json);
  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// fc(dropout([max_t relu(conv_w(embedding(x)))_t for each width w])): windows that hold at least one token, with zeros around the sequence
/// (Kim's code), so that short sequences have windows too and padding in a batch changes nothing.
class TextCnn : public nn::Module {
 public:
  /// Embeddings start U(−0.25, 0.25) as Kim's random ones, padding as 0; other layers as nn's. Throws ConfigError as TextCnnConfig::check.
  explicit TextCnn(const TextCnnConfig& config);
  /// tokens [B, T] → logits [B, classes]. Where a token is config().padding, nothing is seen. Throws ShapeError for another rank.
  Tensor operator()(const Tensor& tokens) const;
  /// What fc reads: [B, widths · filters].
  Tensor features(const Tensor& tokens) const;
  /// Scales the rows of fc.weight that are longer than `most` to that length: Kim's constraint, to be called after each step.
  void limit_norms(double most = 3);
  const TextCnnConfig& config() const { return config_; }

  nn::Embedding embedding;  ///< set its weight for word vectors from elsewhere

 private:
  TextCnnConfig config_;
  nn::ModuleList<nn::Conv1d> convs_;
  nn::Dropout dropout_;
  nn::Linear fc_;
};

}  // namespace plumb::temporal
