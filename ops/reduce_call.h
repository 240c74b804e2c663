// How reductions call their kernel: dimensions divided into those that stay and those that go. For operations only.
#pragma once
#include <vector>

#include "engine/core/tensor.h"
#include "ops/kernels/reduce.h"

namespace plumb::detail {

struct ReducedDims {
  Shape outer, reduced;  ///< sizes that stay, sizes that go
  Shape kept;            ///< x's shape with reduced sizes 1
  Strides outer_strides, reduced_strides;
  const Shape& result(bool keepdim) const { return keepdim ? kept : outer; }
};
/// x's dimensions; no dims means all go. Throws IndexError for a dimension outside the rank or given twice.
ReducedDims reduced_dims(const char* op, const Tensor& x, const std::vector<int>& dims);
/// y = op over x, of the type `dtype` (x's own or f32), outside the graph.
Tensor reduce(ReduceOp op, const char* name, const Tensor& x, const ReducedDims& d, bool keepdim, DType dtype);

/// x as [outer, n, inner] around `dim` (rank 0: [1, 1, 1]), row-major, outside the graph.
Tensor around_dim(const Tensor& x, int dim);
/// Throws ValueError if there is nothing to choose from along `dim`.
void check_choice(const char* op, const Tensor& x, int dim);
/// The derivative of choosing x[.., i, ..] along `dim` of a tensor of `shape`: dy put back at the chosen places (i64). dy and places lack
/// the dimension unless keepdim.
Tensor put_back(const Tensor& dy, const Tensor& places, const Shape& shape, int dim, bool keepdim);

}  // namespace plumb::detail
