// What operations that take index tensors check first. For operations only.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::detail {

/// index as i64. Throws DTypeError naming `op` unless it is i64 or i32, IndexError unless every value is in [low, high).
Tensor checked_index(const char* op, const Tensor& index, int64_t low, int64_t high);

}  // namespace plumb::detail
