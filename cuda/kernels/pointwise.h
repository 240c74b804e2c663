// The functions of ops/pointwise_functions.h as functors of the element-wise kernel; some have a cheaper form for 16-bit types.
#pragma once
#include "cuda/kernels/elementwise.h"
#include "cuda/kernels/narrow_functions.h"
#include "ops/kernels/pointwise.h"
#include "ops/pointwise_functions.h"

namespace plumb::cuda_backend {

/// What a function of elements stored as S computes in, as on the CPU: float for the 16-bit types, i64 for all integers and bool.
template <typename S> using pointwise_t = std::conditional_t<std::is_integral_v<S>, int64_t, compute_t<S>>;

/// y = F(x; a, b).
template <typename F, typename T>
struct OfOne {
  T a, b;
  template <typename X> __device__ T operator()(X x) const { return F::apply(static_cast<T>(x), a, b); }
};
/// y = F(a, b).
template <typename F, typename T>
struct OfTwo {
  template <typename X> __device__ auto operator()(X a, X b) const { return F::apply(static_cast<T>(a), static_cast<T>(b)); }
};

/// y = F(x; a, b), element by element, for elements stored as S. True, so that a table of functions can end in false.
template <typename F, typename S>
bool apply_unary(const Tensor& x, double a, double b, Tensor& y) {
  using T = pointwise_t<S>;
  elementwise<S, S>(OfOne<FunctionFor<F, S>, T>{static_cast<T>(a), static_cast<T>(b)}, y, x);
  return true;
}

/// y = op(x; a, b) of floating tensors, if op is one of the file's functions; else false.
bool elementary(UnaryOp op, const Tensor& x, double a, double b, Tensor& y);
bool special(UnaryOp op, const Tensor& x, double a, double b, Tensor& y);
bool activation(UnaryOp op, const Tensor& x, double a, double b, Tensor& y);

}  // namespace plumb::cuda_backend
