// Penalties that pull a model's outputs for two protected groups together: differentiable, for training. Hard measures of fairness, of
// decisions that were made, are metrics (models/metrics/).
#pragma once
#include "engine/core/tensor.h"

namespace plumb::methods {

/// w [B] (of type `dtype`) with Σ_i w_i v_i = mean of v over group 1 − mean of v over group 0, both over the rows of `among` (bool; all
/// rows if undefined): 1 / n₁, −1 / n₀, and 0 outside. All zeros if either group has no such row, so that nothing is pulled.
/// group [B] of any type holds 0 and 1. Throws ValueError for another value, ShapeError unless the shapes are one vector's.
Tensor group_gap_weights(const Tensor& group, const Tensor& among = {}, DType dtype = f32);

/// The difference itself, a scalar: Σ w v for v [B], differentiable in v.
Tensor group_gap(const Tensor& values, const Tensor& group, const Tensor& among = {});

/// (mean_{A=1} q − mean_{A=0} q)²: demographic parity of scores q [B].
Tensor demographic_parity_penalty(const Tensor& q, const Tensor& group);
/// Σ_{y ∈ {0, 1}} (mean_{A=1, Y=y} q − mean_{A=0, Y=y} q)²: equalised odds. label [B] holds 0 and 1 (ValueError otherwise).
Tensor equalised_odds_penalty(const Tensor& q, const Tensor& label, const Tensor& group);
/// (mean_{A=1, q<½} r − mean_{A=0, q<½} r)²: the gap in how far the rejected are from being accepted, r [B]. Which rows are rejected is
/// constant to the derivative.
Tensor recourse_penalty(const Tensor& q, const Tensor& distance, const Tensor& group);

/// Σ_a (mean_{A=a} (q − y))²: calibration in the large of each group. A group that is missing adds 0; errors as equalised_odds_penalty.
Tensor calibration_penalty(const Tensor& q, const Tensor& label, const Tensor& group);

/// How much each penalty weighs in a loss; 0 leaves it out.
struct FairnessPenalty {
  double dp = 0, eo = 0, recourse = 0;

  bool any() const { return dp != 0 || eo != 0 || recourse != 0; }
  /// dp · demographic parity + eo · equalised odds + recourse · recourse gap, a scalar. `distance` may be undefined if recourse is 0.
  /// Throws ValueError for a negative or non-finite weight, and as the three do.
  Tensor value(const Tensor& q, const Tensor& distance, const Tensor& label, const Tensor& group) const;
  void check() const;
};

}  // namespace plumb::methods
