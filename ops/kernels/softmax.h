// Kernel slots of softmax. Tensors are row-major and seen as [outer, n, inner]; the softmax runs over n.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb::kernel {

/// y = softmax(scale · x), or its logarithm. scale > 0.
inline constinit Kernel<void(const Tensor& x, double scale, bool logarithm, Tensor& y)> softmax{"softmax"};
/// dx = scale · y (dy − ⟨dy, y⟩), or scale · (dy − e^y Σ dy) for the logarithm.
inline constinit Kernel<void(const Tensor& dy, const Tensor& y, double scale, bool logarithm, Tensor& dx)> softmax_backward{
    "softmax_backward"};

}  // namespace plumb::kernel
