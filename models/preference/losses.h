// Preference optimisation: losses on pairs of answers of which one is preferred, from a policy's log-probabilities and a reference's.
//
// With h = (log π(y⁺) − log π_ref(y⁺)) − (log π(y⁻) − log π_ref(y⁻)) and a pair that is labelled rightly with confidence C,
//
//   loss = C ℓ(h) + (1 − C) ℓ(−h),     ℓ(h) = −log σ(β h − γ)      logistic: DPO (Rafailov et al. 2023); γ: an offset (Amini et al. 2024)
//                                             (h − 1 / 2β)²        squared: IPO (Azar et al. 2024)
//                                             max(0, γ − β h)      hinge: SLiC (Zhao et al. 2023)
//
// C = 1 is the plain form, a constant C below 1 conservative DPO. Log-probabilities may be means over an answer's tokens
// (length-normalised), the reference may be left out: both together, with γ, make SimPO (Meng et al. 2024).
#pragma once
#include <cstdint>

#include "engine/core/tensor.h"

namespace plumb::preference {

/// Sums of the log-probabilities of the preferred and the rejected answers' tokens, [B] each, and how many tokens there are (undefined
/// where nothing is divided by them).
struct PairLogProbs {
  Tensor chosen, rejected;
  Tensor chosen_length = {}, rejected_length = {};
};

enum class Objective : uint8_t { logistic, squared, hinge };

struct LossOptions {
  Objective objective = Objective::logistic;
  double beta = 0.1;
  double margin = 0;            ///< γ
  bool per_token = false;       ///< log-probabilities are divided by their answers' lengths
  bool reference_free = false;  ///< h = log π(y⁺) − log π(y⁻)
  /// Throws ValueError unless β is positive and finite, γ ≥ 0 and finite, γ = 0 for squared, and γ > 0 for hinge.
  void check() const;
};
/// The options that make each of the losses by name. length_normalised_dpo divides log-probabilities by the answers' lengths; simpo does
/// that too, and leaves the reference out.
LossOptions dpo(double beta = 0.1);
LossOptions length_normalised_dpo(double beta = 2);
LossOptions ipo(double beta = 0.1);
LossOptions simpo(double beta = 2, double margin = 1);
LossOptions slic(double beta = 0.1, double margin = 1);

/// h [B]. No gradient goes to the reference (undefined: left out). Throws ShapeError unless all are [B] of one B ≥ 1.
Tensor log_ratio_difference(const PairLogProbs& policy, const PairLogProbs& reference);
/// z = β h. Throws also ValueError unless β is positive and finite.
Tensor dpo_margin(const PairLogProbs& policy, const PairLogProbs& reference, double beta = 0.1);

/// mean −C log σ(z) − (1 − C) log σ(−z): [B] → a scalar. dloss/dz = (σ(z) − C) / B, so with C < 1 the margin stops at log(C / (1 − C));
/// below ½ a preference is turned round. C is one number, or a tensor [B]; no gradient goes to it. Exact for margins of any size. Throws
/// ValueError for C outside [0, 1], ShapeError for another shape.
Tensor soft_dpo_loss(const Tensor& margin, double confidence);
Tensor soft_dpo_loss(const Tensor& margin, const Tensor& confidence);

/// The mean over pairs of the loss above. confidence [B] (undefined: 1). Throws as those and check() do, ValueError for lengths that are
/// missing or below 1 where per_token asks for them.
Tensor preference_loss(const PairLogProbs& policy, const PairLogProbs& reference, const LossOptions& options = {},
                       const Tensor& confidence = {});

}  // namespace plumb::preference
