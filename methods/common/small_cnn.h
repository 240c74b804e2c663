// The small convolutional network of the semi-supervised experiments on digits.
#pragma once
#include "models/nn/conv.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"

namespace plumb::methods {

struct SmallCnnConfig {
  int64_t channels = 1, side = 8;  ///< of the images
  int64_t classes = 10;
  int64_t width = 16;              ///< channels of the first convolution; the second has twice as many
  int64_t features = 64;
};

/// conv 3×3 – batch norm – leaky ReLU (0.1) – conv 3×3, stride 2 – batch norm – leaky ReLU – linear – leaky ReLU – linear:
/// images [B, C, side, side] → logits [B, classes].
struct SmallCnn : nn::Module {
  nn::Conv2d conv1;
  nn::BatchNorm bn1;
  nn::Conv2d conv2;
  nn::BatchNorm bn2;
  nn::Linear fc;
  nn::Linear head;

  explicit SmallCnn(const SmallCnnConfig& config = {});
  /// What the head reads: [B, features].
  Tensor features(const Tensor& images) const;
  Tensor operator()(const Tensor& images) const { return head(features(images)); }
};

}  // namespace plumb::methods
