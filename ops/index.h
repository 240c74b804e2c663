// Reading and writing at places given by index tensors (i64 or i32). Where a write may hit one place several times, it happens in order
// along the indexed dimension, so results do not depend on the number of threads. Indices have no derivative; the tensors do.
// All throw IndexError for an index outside its range, naming both; ShapeError for shapes that do not fit; DTypeError for a floating index.
#pragma once
#include <vector>

#include "engine/core/tensor.h"

namespace plumb {

// -- along one dimension ------------------------------------------------------------------------------

/// y[.., i, ..] = x[.., index[.., i, ..], ..] along `dim`: y has the shape of index, whose other sizes are at most x's.
Tensor gather(const Tensor& x, int dim, const Tensor& index);
/// gather with index and x broadcast against each other in all other dimensions (for argsort, argmax with keepdim, …).
Tensor take_along(const Tensor& x, const Tensor& index, int dim);
/// x read in row-major order at index; the shape of index. Negative indices count from the end.
Tensor take(const Tensor& x, const Tensor& index);
/// The slices of x along `dim` that the vector `index` names, in its order.
Tensor index_select(const Tensor& x, int dim, const Tensor& index);

/// x with src[p] put at p with its coordinate `dim` replaced by index[p]. index's sizes are at most src's, and but along `dim` x's.
/// Of several elements for one place the last along `dim` stays, and it alone gets the place's gradient.
Tensor scatter(const Tensor& x, int dim, const Tensor& index, const Tensor& src);
Tensor scatter(const Tensor& x, int dim, const Tensor& index, Scalar value);
/// As scatter, but added to what is there.
Tensor scatter_add(const Tensor& x, int dim, const Tensor& index, const Tensor& src);

enum class ScatterReduce : uint8_t { sum, mean, prod, amax, amin };
/// As scatter, but joined by `how` with what is there (or only among themselves, without include_self). Equal largest (smallest)
/// elements share the gradient. mean takes floating types.
Tensor scatter_reduce(const Tensor& x, int dim, const Tensor& index, const Tensor& src, ScatterReduce how, bool include_self = true);

/// x with the slices of src added (put) at the slices along `dim` that the vector `index` names; src has x's shape but for index.numel()
/// along `dim`. Of several slices for one place index_copy keeps the last.
Tensor index_add(const Tensor& x, int dim, const Tensor& index, const Tensor& src);
Tensor index_copy(const Tensor& x, int dim, const Tensor& index, const Tensor& src);

// -- along several dimensions ---------------------------------------------------------------------------

/// NumPy's x[indices]: index tensors (broadcast against each other; negative values count from the end), bool masks (standing for their
/// true places, over as many dimensions as they have) and undefined tensors (a whole dimension). The indices' shape replaces the
/// indexed dimensions where these are neighbours, else it comes first.
Tensor index(const Tensor& x, const std::vector<Tensor>& indices);
/// x with x[indices] replaced by values (added to, if accumulate); values broadcast to the shape of index(x, indices).
Tensor index_put(const Tensor& x, const std::vector<Tensor>& indices, const Tensor& values, bool accumulate = false);

/// The places of x's nonzero elements in row-major order, [count, rank], i64.
Tensor nonzero(const Tensor& x);
/// The elements of x where mask (bool, broadcast) is true, in row-major order.
Tensor masked_select(const Tensor& x, const Tensor& mask);
/// x with `value` where mask (bool, broadcast) is true.
Tensor masked_fill(const Tensor& x, const Tensor& mask, Scalar value);
Tensor masked_fill(const Tensor& x, const Tensor& mask, const Tensor& value);
/// x with x[start:end:step] along `dim` replaced by src, which broadcasts to it (as slice, in ops/shape.h).
Tensor slice_assign(const Tensor& x, const Tensor& src, int dim, int64_t start, int64_t end = INT64_MAX, int64_t step = 1);
/// A last dimension of size `classes` (−1: the largest label + 1) with 1 at the label and 0 elsewhere, i64.
Tensor one_hot(const Tensor& label, int64_t classes = -1);

}  // namespace plumb
