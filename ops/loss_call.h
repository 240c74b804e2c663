// What losses share: checks of their inputs and the reduction. For operations only.
#pragma once
#include "ops/kernels/check_values.h"
#include "ops/loss.h"

namespace plumb::detail {

/// The type that losses are computed in: f32 for 16-bit types and integers.
Tensor loss_input(const Tensor& x);
/// Both in one type. Throws ShapeError unless their shapes are equal.
struct LossInputs {
  Tensor prediction, target;
};
LossInputs loss_inputs(const char* op, const Tensor& prediction, const Tensor& target);
Tensor reduced(const Tensor& losses, Reduction reduction);
/// Throws ValueError naming the first element of x that is not allowed; on a GPU where the host next waits. `op` and `what` are literals.
void check_allowed(const char* op, const char* what, const Tensor& x, Allowed allowed);
/// Throws ValueError unless value > 0.
void check_positive(const char* op, const char* what, double value);

/// Class numbers made safe to index with: 0 where ignored, and what each row counts (weight, or 0 where ignored), in `type`.
struct Labels {
  Tensor index, weight;
};
/// Throws ShapeError unless target has x's shape without the last dimension, IndexError naming a class outside [0, C).
Labels checked_labels(const char* op, const Tensor& x, const Tensor& target, const Tensor& class_weight, int64_t ignore_index);
/// As reduced, but the mean divides by the sum of weights (0 for nothing).
Tensor weighted_reduced(const Tensor& losses, const Tensor& weights, Reduction reduction);

}  // namespace plumb::detail
