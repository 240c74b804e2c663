// The feature pyramid, from the coarsest level down.
#include "models/detection/pyramid.h"

#include "models/nn/init.h"
#include "ops/pointwise.h"
#include "ops/vision.h"

namespace plumb::detection {

FeaturePyramid::FeaturePyramid(const std::vector<int64_t>& channels, int64_t width)
    : inner_(this, "inner_blocks"), layers_(this, "layer_blocks") {
  for (int64_t c : channels) {
    inner_.emplace_back(c, width, 1);
    layers_.emplace_back(width, width, 3, nn::Conv2dOptions{.padding = 1});
  }
  for (auto* list : {&inner_, &layers_})
    for (nn::Conv2d& conv : *list) {
      nn::init::kaiming_uniform(conv.weight, 1);
      nn::init::zeros(conv.bias);
    }
}

std::vector<Tensor> FeaturePyramid::operator()(const std::vector<Tensor>& maps) const {
  if (maps.size() != inner_.size())
    throw ShapeError("feature_pyramid: takes " + std::to_string(inner_.size()) + " maps, got " + std::to_string(maps.size()));
  std::vector<Tensor> out(maps.size());
  Tensor above;
  for (size_t i = maps.size(); i-- > 0;) {
    Tensor x = inner_[i](maps[i]);
    if (above.defined()) x = x + interpolate(above, {.size = Size2(x.size(2), x.size(3))});
    out[i] = layers_[i](x);
    above = x;
  }
  return out;
}

}  // namespace plumb::detection
