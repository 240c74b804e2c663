// Layer normalisation without a weight.
#include "models/nn/non_scaling_norm.h"

#include "ops/norm.h"
#include "ops/pointwise.h"

namespace plumb::nn {

NonScalingNorm::NonScalingNorm(Shape shape, NonScalingNormOptions options) : shape_(shape), eps_(options.eps) {
  register_parameter("bias", bias, zeros(shape, options.dtype, options.device));
}

Tensor NonScalingNorm::operator()(const Tensor& x) const { return layer_norm(x, shape_, {}, bias, eps_); }

}  // namespace plumb::nn
