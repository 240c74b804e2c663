// An encoder with a classifier on the mean of its tokens.
#pragma once
#include "models/transformer/encoder.h"

namespace plumb::transformer {

/// classifier(dropout(masked_mean(encoder(tokens)))): tokens [B, T] → logits [B, classes].
class EncoderClassifier : public nn::Module {
 public:
  EncoderClassifier(const EncoderConfig& config, int64_t classes, double dropout = 0.1)
      : encoder(this, "encoder", config), dropout_(this, "dropout", dropout), classifier(this, "classifier", config.width, classes) {}
  /// mask [B, T] bool: true where a token is real.
  Tensor operator()(const Tensor& tokens, const Tensor& mask) const {
    return classifier(dropout_(masked_mean(encoder(tokens, mask), mask)));
  }

  Encoder encoder;

 private:
  nn::Dropout dropout_;

 public:
  nn::Linear classifier;
};

}  // namespace plumb::transformer
