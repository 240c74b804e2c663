// Kernel slot of dropout.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb::kernel {

/// y = x / (1 − p) where the draw keeps the element, else 0; x and y row-major. Element i is word i % 4 of philox(seed, counter + i / 4).
inline constinit Kernel<void(const Tensor& x, double p, uint64_t seed, uint64_t counter, Tensor& y)> dropout{"dropout"};

}  // namespace plumb::kernel
