// Kernel slots of sorting and searching. Order: numbers ascending (or descending), NaN last either way, equal ones as they come.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb::kernel {

/// Every row of x [rows, n] sorted; indices (i64) are the places in x. All row-major. All types but bool.
inline constinit Kernel<void(const Tensor& x, bool descending, Tensor& values, Tensor& indices)> sort{"sort"};
/// The first k of every row in that order, without sorting the rest: x [rows, n] → [rows, k].
inline constinit Kernel<void(const Tensor& x, int64_t k, bool descending, Tensor& values, Tensor& indices)> topk{"topk"};
/// places[r, j] (i64): how many of the ascending sorted[r, ·] are < wanted[r, j] (≤ if `right`). sorted has one row or as many as wanted.
inline constinit Kernel<void(const Tensor& sorted, const Tensor& wanted, bool right, Tensor& places)> searchsorted{"searchsorted"};

}  // namespace plumb::kernel
