// Kernel slots of losses. Row-major tensors; losses and statistics are in the type that arithmetic on the logits is done in.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb {

/// The fixed parameters of a cross-entropy against class numbers.
struct CrossEntropyRow {
  int64_t ignore_index;
  double smoothing;
};

namespace kernel {

/// Cross-entropy of logits [rows, C] against target [rows] (i64, i32); class_weight [C] may be undefined. statistics [rows, 2] ← (max, log
/// Σ e^(x − max)). loss has `rows` elements, or one: their sum times scale, where scale ← `mean` ? 1 / Σ w_target (0 for nothing) : 1.
/// Throws IndexError before writing if a target is neither in [0, C) nor ignored.
inline constinit Kernel<void(const Tensor& logits, const Tensor& target, const Tensor& class_weight, CrossEntropyRow row, bool mean,
                             Tensor& loss, Tensor& statistics, Tensor& scale)>
    cross_entropy{"cross_entropy"};
/// dlogits = dy · scale · (softmax · Σ q − q), q the smoothed and weighted target; dy has one element or one a row.
inline constinit Kernel<void(const Tensor& dy, const Tensor& logits, const Tensor& target, const Tensor& class_weight, CrossEntropyRow row,
                             const Tensor& statistics, const Tensor& scale, Tensor& dlogits)>
    cross_entropy_backward{"cross_entropy_backward"};

}  // namespace kernel
}  // namespace plumb
