// The feature pyramid (Lin et al., CVPR 2017): maps of every resolution that know what the coarser ones know.
#pragma once
#include <vector>

#include "models/nn/containers.h"
#include "models/nn/conv.h"

namespace plumb::detection {

/// p_k = layer_k(inner_k(x_k) + enlarged inner result of level k + 1): maps [B, C_k, H_k, W_k], finest first → [B, width, H_k, W_k]. inner
/// is 1×1, layer 3×3; enlarging takes the nearest place. Names are torchvision's: inner_blocks.0, layer_blocks.0, …
class FeaturePyramid : public nn::Module {
 public:
  /// Weights start uniform with variance 1 / fan_in (kaiming, a = 1, as torchvision's), biases as 0.
  FeaturePyramid(const std::vector<int64_t>& channels, int64_t width);
  FeaturePyramid(Module* parent, std::string name, const std::vector<int64_t>& channels, int64_t width) : FeaturePyramid(channels, width) {
    join(parent, std::move(name));
  }
  /// Throws ShapeError for another number of maps.
  std::vector<Tensor> operator()(const std::vector<Tensor>& maps) const;

 private:
  nn::ModuleList<nn::Conv2d> inner_, layers_;
};

}  // namespace plumb::detection
