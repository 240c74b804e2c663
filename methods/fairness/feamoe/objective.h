// The loss of FEAMOE: the mixture's likelihood and what pulls the two groups together.
#pragma once
#include "methods/common/group_fairness.h"
#include "methods/fairness/feamoe/mixture.h"

namespace plumb::methods::feamoe {

enum class Likelihood : uint8_t {
  bernoulli,      ///< −mean ln Σ_k g_k p_k^y (1 − p_k)^(1 − y)
  squared_error,  ///< −mean ln Σ_k g_k e^(−(y − p_k)² / 2) (Jacobs et al. 1991)
};

struct ObjectiveOptions {
  FairnessPenalty fairness = {};
  double decay = 5e-5;       ///< μ of μ (Σ_k ‖w_k‖² + ‖V‖²), biases included
  Likelihood likelihood = Likelihood::bernoulli;
  bool detach_gate = false;  ///< in the recourse distance

  /// Throws ValueError for a negative or non-finite weight.
  void check() const;
};

/// The parts of L = likelihood + fairness + decay, scalars: what the drift test watches is the sum of the first two.
struct Objective {
  Tensor likelihood, fairness, decay;
  Tensor total() const;
};

/// Of rows x [B, inputs] with labels y [B] and groups a [B], both 0 or 1, in any type. Throws ValueError for another group, IndexError for
/// another label, ShapeError for shapes that do not fit. A group that is missing from the batch, or from a part of it that a penalty
/// compares, adds 0.
Objective objective(const MixtureOfLinearExperts& model, const Tensor& x, const Tensor& y, const Tensor& a,
                    const ObjectiveOptions& options = {});

/// −mean log-likelihood alone.
Tensor negative_log_likelihood(const MixtureOfLinearExperts& model, const Tensor& x, const Tensor& y,
                               Likelihood likelihood = Likelihood::bernoulli);

}  // namespace plumb::methods::feamoe
