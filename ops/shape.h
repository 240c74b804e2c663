// Views and copies: another shape, order or type for the same elements. Views share storage; a write through one is seen by all.
#pragma once
#include <vector>

#include "engine/core/tensor.h"

namespace plumb {

/// The same elements in row-major order under another shape; one size may be −1 (what is left). A view where the strides allow it,
/// else a copy. Throws ShapeError if the numbers of elements differ.
Tensor reshape(const Tensor& x, const Shape& shape);
/// Dimensions [start, end] merged into one.
Tensor flatten(const Tensor& x, int start = 0, int end = -1);
/// One dimension split into several, `sizes` (one may be −1).
Tensor unflatten(const Tensor& x, int dim, const Shape& sizes);
Tensor transpose(const Tensor& x, int dim0, int dim1);
/// The last two dimensions swapped. Throws ShapeError below rank 2.
Tensor mT(const Tensor& x);
/// Dimension i of the result is dimension dims[i] of x. Throws ShapeError unless dims is a permutation.
Tensor permute(const Tensor& x, const std::vector<int>& dims);
Tensor movedim(const Tensor& x, int from, int to);
/// Repeats dimensions of size 1 (and new leading ones) without copying; −1 keeps a size.
Tensor expand(const Tensor& x, const Shape& shape);
Tensor unsqueeze(const Tensor& x, int dim);
/// Drops dimension `dim`, which must have size 1, or all of size 1.
Tensor squeeze(const Tensor& x, int dim);
Tensor squeeze(const Tensor& x);
/// Elements start, start + step, … below end along dim; negative bounds count from the end, both are clipped to the size. step ≥ 1.
Tensor slice(const Tensor& x, int dim, int64_t start, int64_t end = INT64_MAX, int64_t step = 1);
/// `length` elements from `start` along dim. Throws IndexError outside the size.
Tensor narrow(const Tensor& x, int dim, int64_t start, int64_t length);
/// Element `index` along dim, which disappears. Throws IndexError outside the size.
Tensor select(const Tensor& x, int dim, int64_t index);
/// The diagonal along (dim0, dim1) as a new last dimension, `offset` above the main one.
Tensor diagonal(const Tensor& x, int offset = 0, int dim0 = -2, int dim1 = -1);
/// Windows of `size` every `step` along dim, as a new last dimension; overlapping windows share elements.
Tensor sliding_window(const Tensor& x, int dim, int64_t size, int64_t step);
/// Any geometry over x's elements (offset in elements from its first). x must be row-major when a gradient is needed.
Tensor as_strided(const Tensor& x, const Shape& shape, const Strides& strides, int64_t offset);

/// A row-major copy with the same value in the graph.
Tensor clone(const Tensor& x);
/// x if it is row-major, else clone(x).
Tensor contiguous(const Tensor& x);
/// x in another type (x itself if it has it already); the gradient is converted back.
Tensor to(const Tensor& x, DType dtype);
/// x on another device (x itself if it is there already).
Tensor to(const Tensor& x, Device device);

}  // namespace plumb
