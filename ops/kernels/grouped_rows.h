// Kernel slots of rows that go to places and come back (ops/grouped_rows.h). All tensors are row-major; places have been checked or are trusted.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb::kernel {

/// Stable: label [n] in [0, groups) → order [n], place [n], offsets [groups + 1]; all i64.
inline constinit Kernel<void(const Tensor& label, Tensor& order, Tensor& place, Tensor& offsets)> group_by{"group_by"};
// Rows of f64 on both sides, or of f32, bf16 and f16 in any combination; weights (which may be undefined) and dots in f64 or f32.
/// out[place[n, j]] = weight[place[n, j]] x[n]
inline constinit Kernel<void(const Tensor& x, const Tensor& place, const Tensor& weight, Tensor& out)> spread_rows{"spread_rows"};
/// out[n] = Σ_j weight[place[n, j]] x[place[n, j]]
inline constinit Kernel<void(const Tensor& x, const Tensor& place, const Tensor& weight, Tensor& out)> join_rows{"join_rows"};
/// out[place[n, j]] = ⟨x[n], y[place[n, j]]⟩
inline constinit Kernel<void(const Tensor& x, const Tensor& y, const Tensor& place, Tensor& out)> row_dots{"row_dots"};

/// Calls f.template operator()<A, B>() for the types of two sides.
template <typename F>
void visit_sides(const char* op, DType a, DType b, F&& f) {
  if (a == DType::f64 || b == DType::f64) {
    if (a != b) unsupported_dtype(op, a == DType::f64 ? b : a);
    return f.template operator()<double, double>();
  }
  visit_floating(op, a, [&]<typename A>() {
    visit_floating(op, b, [&]<typename B>() {
      if constexpr (sizeof(A) < 8 && sizeof(B) < 8) f.template operator()<A, B>();
    });
  });
}

}  // namespace plumb::kernel
