// A small convolutional network for images of any size: what semi-supervised methods are compared on, and trained on users' images with.
#pragma once
#include "models/nn/conv.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"

namespace plumb::methods {

struct PooledCnnConfig {
  int64_t channels = 3;         ///< of the images
  int64_t height = 32, width = 32;
  int64_t classes = 10;
  int64_t first = 16;           ///< channels of the first convolution; the next ones have twice and four times as many
  int64_t features = 64;

  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// How many parts, at most 4×4, a height × width image is divided into after two convolutions of stride 2.
Size2 pooled_parts(int64_t height, int64_t width);

/// Three times conv 3×3 – batch norm – leaky ReLU (0.1), the second and third with stride 2; the mean of (at most) 4×4 parts of the image;
/// linear – leaky ReLU – linear: images [B, C, H, W] → logits [B, classes]. 90,000 parameters for CIFAR-10.
struct PooledCnn : nn::Module {
  nn::Conv2d conv1;
  nn::BatchNorm bn1;
  nn::Conv2d conv2;
  nn::BatchNorm bn2;
  nn::Conv2d conv3;
  nn::BatchNorm bn3;
  nn::Linear fc;
  nn::Linear head;

  explicit PooledCnn(const PooledCnnConfig& config = {});
  /// What the head reads: [B, features].
  Tensor features(const Tensor& images) const;
  /// features() in four steps, the three convolutions and fc: step k of what step k − 1 gives (methods/common/staged_network.h).
  static constexpr size_t stage_count() { return 4; }
  Tensor stage(size_t k, const Tensor& x) const;
  Tensor operator()(const Tensor& images) const { return head(features(images)); }

 private:
  Size2 pooled_;  // parts of the image
};

}  // namespace plumb::methods
