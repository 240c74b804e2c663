// Grouped matrix products: contiguous segments of rows, each with a matrix of its own (the experts of a mixture). Segment e is the rows
// offsets[e] ≤ r < offsets[e + 1]; it may be empty. `offsets` is an i64 vector of one element more than there are segments, which starts
// with 0, never falls and ends with the number of rows. 16-bit types are summed in f32; under Autocast, f32 operands are taken in the
// autocast type. All throw ShapeError for shapes that do not fit, DTypeError for integers or offsets that are not i64, IndexError for
// offsets that do not cover the rows in order; on a GPU, where looking would mean waiting, rows outside every segment are undefined.
#pragma once
#include "engine/core/tensor.h"

namespace plumb {

/// y_r = x_r · weight_e for each row r of segment e: x [rows, in], weight [E, in, out] → [rows, out].
Tensor grouped_matmul(const Tensor& x, const Tensor& weight, const Tensor& offsets);
/// y_r = weight_e x_r + bias_e, as linear: x [rows, in], weight [E, out, in], bias [E, out] or undefined → [rows, out].
Tensor grouped_linear(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& offsets);
/// y_e = Σ a_r b_rᵀ over the rows r of segment e: a [rows, m], b [rows, n] → [E, m, n]; zero for an empty segment.
Tensor grouped_outer(const Tensor& a, const Tensor& b, const Tensor& offsets);
/// y_e = Σ x_r over the rows r of segment e: x [rows, n] → [E, n].
Tensor grouped_sum(const Tensor& x, const Tensor& offsets);

}  // namespace plumb
