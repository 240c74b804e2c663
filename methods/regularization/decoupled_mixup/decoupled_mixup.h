// Decoupled Mixup (Liu et al., NeurIPS 2023): each of the two mixed classes is also scored by a softmax without the other one.
//   loss = L_MCE + η L_DR,   L_MCE = −(λ log p_a + (1 − λ) log p_b),   L_DR = −(w_a log φ_a + w_b log φ_b),
//   φ_a = e^(z_a) / Σ_(k ≠ b) e^(z_k),   φ_b = e^(z_b) / Σ_(k ≠ a) e^(z_k);   w = 1 in the paper's form.
// Any mixing policy goes with it: it asks for the two labels and the share only.
#pragma once
#include "methods/common/mix_objective.h"
#include "ops/loss.h"

namespace plumb::methods::decoupled_mixup {

/// log φ of `target` among all classes but `excluded`, by row: z_t − log Σ_(k ≠ e) e^(z_k), as one masked log-softmax. The excluded logit
/// has no influence and gets the gradient 0. logits floating [B, C], target and excluded i64 [B] → [B]. Throws ShapeError for other shapes,
/// IndexError for a class outside [0, C), ValueError for a row that excludes its target.
Tensor decoupled_log_prob(const Tensor& logits, const Tensor& target, const Tensor& excluded);

/// (l / t)^ξ below t, 1 from t on; t in (0, 1], ξ ≥ 0. l^ξ for t = 1, 1 for ξ = 0. Throws ValueError for l outside [0, 1] and for t and ξ.
double rescale_lambda(double l, double t, double xi);

/// Which of a pair's terms count: both; that of the class with λ ≥ ½; that of the other. At λ = ½ exactly `more` keeps the first.
enum class Terms : uint8_t { both, more, less };

struct DecoupledMixupOptions {
  double eta = 0.1;     ///< η
  double exponent = 0;  ///< w_i = rescale_lambda(λ_i, threshold, exponent): 0 is the paper's form, 1 that of the released code
  double threshold = 1;
  Terms terms = Terms::both;
  double label_smoothing = 0;  ///< of L_MCE

  /// Throws ValueError naming what is out of range.
  void check() const;
};

/// The loss of each example, or its mean or sum over all of them. logits floating [B, C]; labels_a, labels_b i64 [B]; lambda [B], or one
/// number for all. Where a = b, or λ is 0 or 1, there is nothing to decouple and the example has L_MCE alone, which is the cross-entropy.
/// With η = 0 it is L_MCE exactly. With two classes φ = 1 and L_DR = 0. Gradients reach the logits, and λ in L_MCE.
/// Throws ValueError for λ outside [0, 1] or as check, IndexError for a label outside [0, C), ShapeError.
Tensor decoupled_mixup_loss(const Tensor& logits, const Tensor& labels_a, const Tensor& labels_b, const Tensor& lambda,
                            const DecoupledMixupOptions& options = {}, Reduction reduction = Reduction::mean);
Tensor decoupled_mixup_loss(const Tensor& logits, const Tensor& labels_a, const Tensor& labels_b, double lambda,
                            const DecoupledMixupOptions& options = {}, Reduction reduction = Reduction::mean);

struct MixupBceOptions {
  double threshold = 1;  ///< t: a share from t on counts fully
  double exponent = 1;   ///< ξ
};
/// DM(BCE), for classes scored one by one: the mean over classes of the binary cross-entropy of σ(z_k) against y_k, y = r(λ) at a plus
/// r(1 − λ) at b with r = rescale_lambda(·, t, ξ), at most 1. t = ξ = 1 is mixup's. The mean over examples, too. (The released code sums
/// over classes.) Throws as decoupled_mixup_loss.
Tensor mixup_bce_loss(const Tensor& logits, const Tensor& labels_a, const Tensor& labels_b, const Tensor& lambda,
                      const MixupBceOptions& options = {}, Reduction reduction = Reduction::mean);
Tensor mixup_bce_loss(const Tensor& logits, const Tensor& labels_a, const Tensor& labels_b, double lambda,
                      const MixupBceOptions& options = {}, Reduction reduction = Reduction::mean);

/// Labelled examples mixed with unlabelled ones, whose classes are guessed (DFixMatch).
struct SemiSupervisedOptions {
  DecoupledMixupOptions loss{.eta = 1};
  double threshold = 0.95;        ///< τ
  double mixed_threshold = 0.95;  ///< p_mix ≤ τ: a guess counts if it is as probable as min(τ, max(p_mix, 1 − λ)), or more
};
/// The loss of λ x_labelled + (1 − λ) x_unlabelled, λ ≥ ½ (dominant_share): −(log p_a + (1 − λ) log p_b) + η L_DR, where the labelled
/// side's share is rescaled to 1 and the unlabelled side's is not; the mean over all examples, of which those whose guess does not count
/// give 0. labels and guesses i64 [B], confidence [B] the guesses' probabilities. The released code lets the term's weight rise from 0 to 1
/// by a cosine: optim::cosine(steps, 0, 1). Throws ValueError for λ outside [½, 1] or a confidence outside [0, 1], and as
/// decoupled_mixup_loss.
Tensor semi_supervised_loss(const Tensor& logits, const Tensor& labels, const Tensor& guesses, const Tensor& confidence, double lambda,
                            const SemiSupervisedOptions& options = {});

/// decoupled_mixup_loss of mixed_logits, whatever the policy.
std::unique_ptr<MixObjective> decoupled_objective(const MixPolicy& policy, const DecoupledMixupOptions& options = {});

}  // namespace plumb::methods::decoupled_mixup
