// What concerns the logits of some neighbouring classes only, as those of the current task in class-incremental learning.
#pragma once
#include <cstdint>

#include "engine/core/tensor.h"
#include "ops/loss.h"

namespace plumb::methods {

/// The cross-entropy of classes [begin, end) among themselves: log Σ_{begin ≤ c < end} e^{z_c} − z_y, the same as with −∞ in place of all
/// other logits, whose gradient is exactly 0. logits [B, C], labels i64 [B]. Throws ShapeError unless logits are a matrix, ValueError
/// unless 0 ≤ begin < end ≤ C, IndexError naming a label outside [begin, end).
Tensor local_cross_entropy(const Tensor& logits, const Tensor& labels, int64_t begin, int64_t end, Reduction reduction = Reduction::mean);

/// −log Σ_{begin ≤ c < end} e^{z_c}, [B]: low where some class is sure of itself (Liu et al., NeurIPS 2020). Throws as above.
Tensor energy_score(const Tensor& logits, int64_t begin, int64_t end);

}  // namespace plumb::methods
