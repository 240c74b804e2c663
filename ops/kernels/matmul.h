// Kernel slots of matrix products.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb::kernel {

/// out[q] = a[q] · b[q] (+ bias, one a column, if defined); a [batch, m, k], b [batch, k, n], any strides; out [batch, m, n] row-major.
/// With `accumulate`, out[q] += a[q] · b[q].
inline constinit Kernel<void(const Tensor& a, const Tensor& b, const Tensor& bias, bool accumulate, Tensor& out)> matmul{"matmul"};
/// before = a · b (+ bias) as above, out = gelu(before) in its tanh form; both [batch, m, n] row-major. `before` may be undefined.
inline constinit Kernel<void(const Tensor& a, const Tensor& b, const Tensor& bias, Tensor& before, Tensor& out)> matmul_gelu{"matmul_gelu"};
/// out = (a · b) ⊙ gelu'(before), the derivative of that form; before and out [batch, m, n] row-major.
inline constinit Kernel<void(const Tensor& a, const Tensor& b, const Tensor& before, Tensor& out)> matmul_gelu_backward{
    "matmul_gelu_backward"};

}  // namespace plumb::kernel
