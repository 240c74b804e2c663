// Kernel slots of tensors made from nothing.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb::kernel {

/// y_i = start + i·step, worked out in f64 (in i64 if both numbers are integers), rounded to y's type once. y is row-major, not bool.
inline constinit Kernel<void(Scalar start, Scalar step, Tensor& y)> arange{"arange"};

}  // namespace plumb::kernel
