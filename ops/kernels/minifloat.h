// Kernel slot of rounding to small floating-point formats.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb::kernel {

/// y = x rounded to multiples of 2^(max(⌊log₂|x|⌋, least_exponent) − mantissa_bits), ties to even; beyond ± largest: ± beyond. x and y
/// floating, row-major.
inline constinit Kernel<void(const Tensor& x, int mantissa_bits, int least_exponent, double largest, double beyond, Tensor& y)>
    round_minifloat{"round_minifloat"};

}  // namespace plumb::kernel
