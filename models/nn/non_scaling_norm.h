// Layer normalisation that cannot amplify: its weight is 1 for ever.
#pragma once
#include "models/nn/module.h"

namespace plumb::nn {

struct NonScalingNormOptions {
  double eps = 1e-5;
  DType dtype = f32;
  Device device = {};
};

/// y = (x − μ)/√(σ² + eps) + bias over the last dimensions, whose sizes are `shape`: layer_norm without a learned weight, in which outliers
/// of a few features would otherwise settle (Dao et al., ICLR 2025). The bias starts as 0 and is trained.
class NonScalingNorm : public Module {
 public:
  explicit NonScalingNorm(Shape shape, NonScalingNormOptions options = {});
  NonScalingNorm(Module* parent, std::string name, Shape shape, NonScalingNormOptions options = {}) : NonScalingNorm(shape, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x) const;

  Parameter bias;

 private:
  Shape shape_;
  double eps_;
};

}  // namespace plumb::nn
