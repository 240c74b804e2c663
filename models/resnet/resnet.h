// ResNet (He et al., CVPR 2016) for large and for small images, with the parameter names of torchvision.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "models/nn/containers.h"
#include "models/nn/conv.h"
#include "models/nn/linear.h"
#include "models/resnet/switchable_norm.h"

namespace plumb::resnet {

struct ResNetConfig {
  bool small_images = true;              ///< a 3×3 stem at full size (CIFAR); else 7×7 with stride 2 and a 3×3 max pool (ImageNet)
  bool bottleneck = false;               ///< blocks of 1×1, 3×3, 1×1 convolutions, four times as wide outside; else two of 3×3
  std::vector<int64_t> blocks{1, 1, 1};  ///< a stage, one to four stages; each stage but the first halves the image and doubles the width
  int64_t width = 16;                    ///< channels of the first stage (inside its blocks)
  int64_t channels = 3;                  ///< of the images
  int64_t classes = 10;                  ///< 0: a backbone without fc
  std::string norm = "batch";            ///< batch, group, instance or none
  int64_t groups = 8;                    ///< of group norm
  bool padded_shortcuts = false;  ///< where a stage begins: every other pixel, missing channels zero (option A); else 1×1 convolutions
  bool zero_residual = false;            ///< the last norm of each block starts as 0, so blocks start as the identity

  /// 6n + 2 layers for small images: n blocks in each of three stages. Throws ConfigError for another depth.
  static ResNetConfig cifar(int64_t depth, int64_t width = 16);
  /// ResNet-18, 34, 50, 101 or 152. Throws ConfigError for another depth.
  static ResNetConfig imagenet(int64_t depth);

  /// An object with these names. from_json takes missing ones from the defaults and throws ConfigError for values that make no model.
  std::string to_json() const;
  static ResNetConfig from_json(const std::string& json);
  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// relu(F(x) + shortcut(x)): F is conv1 bn1 relu conv2 bn2, or conv1 bn1 relu conv2 bn2 relu conv3 bn3, whose 3×3 takes the stride.
struct Block : nn::Module {
  nn::Conv2d conv1;
  SwitchableNorm bn1;
  nn::Conv2d conv2;
  SwitchableNorm bn2;
  std::optional<nn::Conv2d> conv3;
  SwitchableNorm bn3;
  std::optional<nn::Sequential> downsample;  ///< 1×1 convolution and norm, where the shape changes
  int64_t stride, added_channels = 0;        ///< of a padded shortcut

  /// in channels → width (four times as many for a bottleneck).
  Block(const ResNetConfig& config, int64_t in, int64_t width, int64_t stride);
  Tensor operator()(const Tensor& x) const;

 private:
  Tensor shortcut(const Tensor& x) const;
};

class ResNet : public nn::Module {
 public:
  /// Convolutions start normal with variance 2 / fan_out, norms as 1 and 0, fc uniform (as torchvision's). Throws as ResNetConfig::check.
  explicit ResNet(const ResNetConfig& config);
  /// images [B, channels, H, W] → logits [B, classes]. Throws ValueError without classes.
  Tensor operator()(const Tensor& images) const;
  /// What fc reads: the mean of the last stage over the image, [B, features].
  Tensor features(const Tensor& images) const;
  /// features → logits [B, classes]. Throws ValueError without classes.
  Tensor head(const Tensor& features) const;
  /// What each stage gives, [B, C, H', W'] with twice the channels and half the sides of the one before: for detectors and the like.
  std::vector<Tensor> stages(const Tensor& images) const;
  const ResNetConfig& config() const { return config_; }

  bool recompute = false;  ///< in training, each block keeps its input only and runs again for its gradient

 private:
  ResNetConfig config_;
  nn::Conv2d conv1_;
  SwitchableNorm bn1_;
  std::array<nn::ModuleList<Block>, 4> stages_;
  std::optional<nn::Linear> fc_;
};

}  // namespace plumb::resnet
