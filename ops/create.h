// Tensors made from a rule: sequences, identities, masks, grids, diagonals.
#pragma once
#include <string_view>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb {

/// 0, 1, …, below end.
Tensor arange(Scalar end);
Tensor arange(Scalar end, DType dtype, Device device = {});
/// start, start + step, … below end (above it for step < 0). f32 if a number is floating, else i64. Throws ValueError for step 0 or an end
/// on the wrong side.
Tensor arange(Scalar start, Scalar end, Scalar step = 1);
Tensor arange(Scalar start, Scalar end, Scalar step, DType dtype, Device device = {});
/// `count` numbers from start to end, evenly spaced, both included. Throws ValueError for a negative count.
Tensor linspace(double start, double end, int64_t count, DType dtype = f32, Device device = {});
/// [rows, columns] with 1 on the diagonal. columns −1 means square.
Tensor eye(int64_t rows, int64_t columns = -1, DType dtype = f32, Device device = {});
/// Coordinates of the grid that the vectors span, as views of them: the i-th varies along dimension i ("ij"), or with the first two swapped
/// ("xy").
std::vector<Tensor> meshgrid(const std::vector<Tensor>& axes, std::string_view indexing = "ij");

/// [rows, columns], true where column − row ≤ diagonal.
Tensor tril_mask(int64_t rows, int64_t columns, int64_t diagonal = 0, Device device = {});
/// True where column − row ≥ diagonal.
Tensor triu_mask(int64_t rows, int64_t columns, int64_t diagonal = 0, Device device = {});
/// The lower (upper) triangle of the last two dimensions, 0 elsewhere. Throws ShapeError below rank 2.
Tensor tril(const Tensor& x, int64_t diagonal = 0);
Tensor triu(const Tensor& x, int64_t diagonal = 0);
/// A vector as the diagonal of a matrix; the diagonal of a matrix as a vector (a view); `offset` above the main one.
Tensor diag(const Tensor& x, int offset = 0);
/// Square matrices with the last dimension of x on their diagonal, in dimensions (dim0, dim1) of the result.
Tensor diag_embed(const Tensor& x, int offset = 0, int dim0 = -2, int dim1 = -1);

}  // namespace plumb
