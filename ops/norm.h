// Normalisation: elements shifted and scaled to mean 0 and variance 1 over some dimensions, then by learned weights.
// Variances are those of the elements themselves (divided by n). 16-bit types are computed in f32; weights may be f32 then.
#pragma once
#include "engine/core/tensor.h"

namespace plumb {

/// y = (x − μ) / √(σ² + eps) · weight + bias, with mean μ and variance σ² over the last dimensions, whose sizes `normalized_shape` gives
/// (Ba et al. 2016). weight and bias have that shape or are undefined (1 and 0). Throws ShapeError if the shapes do not fit.
Tensor layer_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight = {}, const Tensor& bias = {}, double eps = 1e-5);
/// y = x / √(mean(x²) + eps) · weight over the last dimensions (Zhang & Sennrich 2019).
Tensor rms_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight = {}, double eps = 1e-6);

}  // namespace plumb
