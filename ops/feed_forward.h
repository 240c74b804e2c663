// The feed-forward network of a transformer block as one operation.
#pragma once
#include "engine/core/tensor.h"

namespace plumb {

/// gelu(x · upᵀ + up_bias) · downᵀ + down_bias with the tanh form of GELU: x [.., in], up [inner, in], down [out, inner], biases [inner]
/// and [out] or undefined → [.., out]. What linear, gelu and linear compute, with GELU and its derivative in the products' last step, so
/// that the inner layer is not read and written once more. Under Autocast as linear. Throws ShapeError, DTypeError as linear does.
Tensor gelu_feed_forward(const Tensor& x, const Tensor& up, const Tensor& up_bias, const Tensor& down, const Tensor& down_bias);

}  // namespace plumb
