// Rows of a table chosen by indices.
#pragma once
#include <cstdint>

#include "engine/core/tensor.h"

namespace plumb {

/// y[.., :] = weight[indices[..], :]: weight [rows, columns], indices i64 or i32 of any shape → [indices.., columns]. The gradient of a row
/// used several times is summed in the order of the indices. The row `padding_idx` (if not negative) gets no gradient.
/// Throws IndexError naming the first index outside [0, rows), ShapeError unless weight is a matrix.
Tensor embedding(const Tensor& weight, const Tensor& indices, int64_t padding_idx = -1);

}  // namespace plumb
