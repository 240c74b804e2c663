// Kernel slots of running sums and recurrences.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb::kernel {

/// Running sums (or products) of x [outer, n, inner] along n, from the end if `reverse`; y has x's type. All row-major; floating or i64.
inline constinit Kernel<void(const Tensor& x, bool product, bool reverse, Tensor& y)> cumulate{"cumulate"};
/// h_t = a_t h_{t−1} + b_t along n of [outer, n, inner], h before the first is 0; from the end if `reverse`. All row-major; f64 or f32.
inline constinit Kernel<void(const Tensor& a, const Tensor& b, bool reverse, Tensor& h)> linear_scan{"linear_scan"};

}  // namespace plumb::kernel
