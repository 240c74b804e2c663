// Fully connected layers that can be called one by one.
#include "methods/common/staged_mlp.h"

#include "models/nn/init.h"
#include "models/require.h"
#include "ops/activation.h"
#include "ops/shape.h"

namespace plumb::methods {

void StagedMlpConfig::check() const {
  require_positive("staged mlp", {{"inputs", inputs}, {"classes", classes}});
  require(!hidden.empty(), "staged mlp: needs a hidden layer");
  for (int64_t width : hidden) require_positive("staged mlp", {{"a hidden width", width}});
  require(head_std >= 0, "staged mlp: the head's deviation must not be negative, it is " + decimal(head_std));
}

StagedMlp::StagedMlp(const StagedMlpConfig& c) : head(this, "head", (c.check(), c.hidden.back()), c.classes) {
  int64_t in = c.inputs;
  for (int64_t width : c.hidden) {
    layers.emplace_back(in, width);
    nn::init::kaiming_normal(layers.back().weight);
    nn::init::zeros(layers.back().bias);
    in = width;
  }
  if (c.head_std == 0) return;
  nn::init::normal(head.weight, 0, c.head_std);
  nn::init::zeros(head.bias);
}

Tensor StagedMlp::stage(size_t k, const Tensor& x) const { return relu(layers[k](k == 0 ? flatten(x, 1) : x)); }

Tensor StagedMlp::features(const Tensor& x) const {
  Tensor y = x;
  for (size_t k = 0; k < layers.size(); ++k) y = stage(k, y);
  return y;
}

}  // namespace plumb::methods
