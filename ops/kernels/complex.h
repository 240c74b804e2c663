// Kernel slot of complex arithmetic.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb::kernel {

/// y = a b, or a b̄ if `conjugate`, of complex numbers as a last axis of 2. Equal shapes (any strides) and types; floating; y row-major.
inline constinit Kernel<void(const Tensor& a, const Tensor& b, bool conjugate, Tensor& y)> complex_mul{"complex_mul"};

}  // namespace plumb::kernel
