// Normalisation layers, forward.
#include "models/nn/norm.h"

#include "ops/norm.h"

namespace plumb::nn {

LayerNorm::LayerNorm(Shape shape, LayerNormOptions options) : shape_(shape), eps_(options.eps) {
  if (!options.affine) return;
  register_parameter("weight", weight, ones(shape, options.dtype, options.device));
  if (options.bias) register_parameter("bias", bias, zeros(shape, options.dtype, options.device));
}

Tensor LayerNorm::operator()(const Tensor& x) const { return layer_norm(x, shape_, weight, bias, eps_); }

RMSNorm::RMSNorm(int64_t width, RmsNormOptions options) : eps_(options.eps) {
  register_parameter("weight", weight, ones({width}, options.dtype, options.device));
}

Tensor RMSNorm::operator()(const Tensor& x) const { return rms_norm(x, weight.shape(), weight, eps_); }

}  // namespace plumb::nn
