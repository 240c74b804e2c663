// Kernel slot of the incomplete gamma functions.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb::kernel {

/// out ← ∂ᵏP/∂aᵏ (of Q if `upper`), k = order from 0 to 3; a, x and out f64, row-major, of one shape.
inline constinit Kernel<void(const Tensor& a, const Tensor& x, bool upper, int order, Tensor& out)> incomplete_gamma{"incomplete_gamma"};

}  // namespace plumb::kernel
