// Kernel slots of rows that go to places and come back (ops/grouped_rows.h). All tensors are row-major; places have been checked or are
// trusted.
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

}  // namespace plumb::kernel
