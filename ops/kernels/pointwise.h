// Kernel slots of element-wise operations. The functions themselves are in ops/pointwise_functions.h, shared by all devices.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb {

/// y = f(x; a, b) of floating tensors; neg, abs, sign, square and relu also of integers.
enum class UnaryOp : uint8_t {
  neg,
  abs,
  sign,
  square,
  relu,
  add_scalar,
  mul_scalar,
  rsub_scalar,
  clamp,  // these also for integers
  sqrt,
  rsqrt,
  reciprocal,
  exp,
  exp2,
  expm1,
  log,
  log2,
  log10,
  log1p,
  sin,
  cos,
  tan,
  asin,
  acos,
  atan,
  sinh,
  cosh,
  tanh,
  asinh,
  acosh,
  atanh,
  erf,
  erfc,
  erfinv,
  lgamma,
  digamma,
  polygamma,
  sigmoid,
  logsigmoid,
  softplus,
  silu,
  gelu,
  gelu_tanh,
  leaky_relu,
  elu,
  mish,
  hardswish,
  hardsigmoid,
  floor,
  ceil,
  round,
  trunc,
  pow_scalar,
  rpow_scalar,
  nan_to_zero,
  count
};
/// y = f(a, b) of equal types; out has the same type. add, sub and mul also of f32 and a 16-bit type, in either order, into f32.
enum class BinaryOp : uint8_t {
  add, sub, mul, maximum, minimum, floor_divide, remainder,  // these also for integers
  div, pow, atan2, hypot, xlogy, logaddexp,
  gelu_backward, gelu_tanh_backward, silu_backward, relu_backward, tanh_backward, sigmoid_backward,  // f(x or y, dy)
  count
};
/// out (bool) = f(a, b) of equal types.
enum class CompareOp : uint8_t { equal, not_equal, less, less_equal, greater, greater_equal, logical_and, logical_or, logical_xor, count };
/// out (bool) = f(x).
enum class TestOp : uint8_t { is_nan, is_inf, is_finite, logical_not, count };

namespace kernel {

/// x and y of equal shape and type; any strides.
inline constinit Kernel<void(UnaryOp op, const Tensor& x, double a, double b, Tensor& y)> unary{"unary"};
inline constinit Kernel<void(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& out)> binary{"binary"};
inline constinit Kernel<void(CompareOp op, const Tensor& a, const Tensor& b, Tensor& out)> compare{"compare"};
inline constinit Kernel<void(TestOp op, const Tensor& x, Tensor& out)> test{"test"};
/// out = condition ? a : b; condition is bool.
inline constinit Kernel<void(const Tensor& condition, const Tensor& a, const Tensor& b, Tensor& out)> where{"where"};
/// True if any element is NaN.
inline constinit Kernel<void(const Tensor& x, bool& found)> has_nan{"has_nan"};

}  // namespace kernel
}  // namespace plumb
