// The rules of ops/reduce_functions.h as operations of the GPU's reductions.
#pragma once
#include "cuda/kernels/reduce_engine.h"
#include "engine/core/tensor.h"
#include "ops/kernels/reduce.h"
#include "ops/reduce_functions.h"

namespace plumb::cuda_backend {

/// Reduces x, stored as S, in T; the result is stored as `out`: T, or the 16-bit type that T = float is the arithmetic of.
template <typename Rule, typename S, typename T>
struct RuleOp {
  using Value = T;
  static constexpr int kPack = kPerAccess<S> > 8 ? 8 : kPerAccess<S>;
  const S* x;
  const T* shifts;
  void* y;
  DType out;

  bool aligned() const { return aligned16(x); }
  __device__ T start() const { return Rule::start(); }
  __device__ T join(T a, T b) const { return Rule::join(a, b); }
  __device__ T shift(int64_t at) const {
    if constexpr (Rule::kShifted) return shifts[at];
    else return T();
  }
  __device__ T element(int64_t at, int64_t s, int64_t) const { return Rule::element(static_cast<T>(load(x[at])), shift(s)); }
  __device__ void pack(int64_t at, int64_t s, int64_t step, T (&v)[kPack]) const {
    read_pack<kPack>(x + at, v);
#pragma unroll
    for (int j = 0; j < kPack; ++j) v[j] = Rule::element(v[j], shift(s + j * step));
  }
  __device__ void store(int64_t at, T total) const {
    if constexpr (std::is_same_v<T, float>) {
      if (out == DType::bf16) return static_cast<void>(static_cast<bfloat16*>(y)[at] = bfloat16(total));
      if (out == DType::f16) return static_cast<void>(static_cast<half*>(y)[at] = half(total));
    }
    static_cast<T*>(y)[at] = total;
  }
};
/// Partial results are elements of T to the joined rule, which most programs have anyway: one kernel less to compile.
template <typename Rule, typename S, typename T>
RuleOp<typename Rule::Joined, T, T> partial_results(const RuleOp<Rule, S, T>& op, const T* partial) {
  return {partial, nullptr, op.y, op.out};
}

/// Reduces x without shift into y, which is of type T, or of x's own 16 bits.
template <typename Rule, typename S, typename T>
void reduce_into(const Tensor& x, const ReduceCall& call, Tensor& y) {
  reduce_axes(RuleOp<Rule, S, T>{x.data<S>(), nullptr, y.raw_data(), y.dtype()}, call.outer, call.reduced);
}

/// Products and extrema, in a file of their own.
void reduce_by_choice(ReduceOp op, const Tensor& x, const ReduceCall& call, Tensor& y);

}  // namespace plumb::cuda_backend
