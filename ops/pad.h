// Making a tensor larger (or smaller) at its borders.
#pragma once
#include <vector>

#include "engine/core/tensor.h"

namespace plumb {

/// What stands outside a tensor: a constant; the inside mirrored without its edge (… 2 1 | 0 1 2 …); the edge repeated; the inside
/// repeated.
enum class PadMode : uint8_t { constant, reflect, replicate, circular };

/// x with padding[0] places before and padding[1] after its last dimension, padding[2] and padding[3] around the one before, and so on, as
/// PyTorch counts. Negative numbers cut off. Only `constant` uses `value`. Throws ShapeError if reflect needs more than size − 1 places or
/// circular more than size, or if nothing is left to repeat; ValueError for an odd number of paddings or more than x has dimensions.
Tensor pad(const Tensor& x, const std::vector<int64_t>& padding, PadMode mode = PadMode::constant, Scalar value = 0);

}  // namespace plumb
