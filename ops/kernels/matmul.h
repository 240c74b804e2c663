// Kernel slots of matrix products.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb::kernel {

/// out[q] = a[q] · b[q] (+ bias, one a column, if defined); a [batch, m, k], b [batch, k, n], any strides; out [batch, m, n] row-major.
/// With `accumulate`, out[q] += a[q] · b[q].
inline constinit Kernel<void(const Tensor& a, const Tensor& b, const Tensor& bias, bool accumulate, Tensor& out)> matmul{"matmul"};

}  // namespace plumb::kernel
