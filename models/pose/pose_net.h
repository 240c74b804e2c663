// The simple baseline for poses (Xiao, Wu & Wei, ECCV 2018): a ResNet, transposed convolutions, one heat map a keypoint.
#pragma once
#include <string>
#include <vector>

#include "models/resnet/resnet.h"

namespace plumb::pose {

struct PoseConfig {
  int64_t channels = 3;  ///< of the images
  int64_t keypoints = 6;
  int64_t width = 32;                    ///< of the ResNet's first stage
  std::vector<int64_t> blocks{1, 1, 1};  ///< of its stages
  int64_t enlargements = 2;              ///< transposed convolutions, each doubling the map
  int64_t enlarged_width = 64;           ///< their channels
  std::string norm = "batch";            ///< of the ResNet: batch or group
  int64_t groups = 8;

  std::string to_json() const;
  static PoseConfig from_json(const std::string& json);
  /// Throws ConfigError naming what is out of range.
  void check() const;
  /// Pixels a place of the heat maps: 4 · 2^(stages − 1 − enlargements).
  double stride() const;
};

/// Names are the reference code's: conv1, bn1, layer1, …, deconv_layers.0, …, final_layer.
class PoseNet : public resnet::ResNet {
 public:
  /// Transposed and last convolutions start as N(0, 0.001²), as there. Throws ConfigError as PoseConfig::check.
  explicit PoseNet(const PoseConfig& config);
  /// images [B, channels, H, W] → heat maps [B, keypoints, H / stride, W / stride]. Throws ShapeError for other images.
  Tensor operator()(const Tensor& images) const;
  const PoseConfig& config() const { return pose_; }

 private:
  PoseConfig pose_;
  nn::Sequential deconv_layers_;
  nn::Conv2d final_layer_;
};

}  // namespace plumb::pose
