// TimeX (Queen, Hartvigsen, Koker, He, Tsiligkaridis & Zitnik, NeurIPS 2023): losses that make a surrogate, which sees only the part of a
// series that a mask leaves, relate series to each other as a frozen classifier does; samples of masks; measures of explanations.
#pragma once
#include <functional>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods::timex {

// -- losses --------------------------------------------------------------------------------------------------------

/// mean_ij (S_ij − S'_ij)² with S and S' the cosines of all pairs of rows of z and z_e [B, D]: model behaviour consistency. No change of
/// their lengths matters. 0 for B = 1. Throws ShapeError for different shapes.
Tensor mbc_loss(const Tensor& z, const Tensor& z_e);

enum class LabelForm : uint8_t {
  pairs,  ///< mean over pairs i < j of (JS(y_i, y_j) − JS(y'_i, y'_j))², as the paper says
  released,  ///< the square of the one difference of means over pairs and classes, of ½ KL(m ‖ a) + ½ KL(m ‖ b), as the released code has
             ///< it
};
/// Consistency of label relations of logits y and y_e [B, C], JS in nats. 0 for B = 1.
Tensor label_consistency_loss(const Tensor& y, const Tensor& y_e, LabelForm form = LabelForm::pairs);

/// mean(p log(p / r + ε) + (1 − p) log((1 − p) / (1 − r + ε) + ε)), ε = 1e-6: how far mask probabilities are from the prior r (graph
/// stochastic attention). Throws ValueError unless 0 < r < 1.
Tensor gsat_loss(const Tensor& p, double r);
/// ‖p_{t+1} − p_t‖₂ / count over all differences along time of p [B, T] or [B, T, d]. Gradient 0 where all are 0.
Tensor connect_loss(const Tensor& p);
/// Cross-entropy + ε (1 − p_y), averaged: the classifier's loss (PolyLoss, Leng et al. 2022).
Tensor poly1_loss(const Tensor& logits, const Tensor& labels, double epsilon = 1);

// -- samples that are hard forward and soft backward ---------------------------------------------------------------

/// One-hot at the largest entry of `soft` along the last dimension, with the gradient of `soft`.
Tensor straight_through(const Tensor& soft);
/// softmax((log_p + noise) / τ) over the last dimension: Gumbel-softmax with the noise given.
Tensor relaxed_sample(const Tensor& log_p, const Tensor& noise, double tau);
/// straight_through(relaxed_sample(log_p, fresh Gumbel noise, τ)). Throws ValueError unless τ > 0.
Tensor gumbel_softmax_st(const Tensor& log_p, double tau, Generator& generator);
/// A mask of 0 and 1 of p's shape: each element on with probability p, by the two classes log([1 − p, p] + 1e-9). Without `hard` the soft
/// sample itself.
Tensor sample_mask(const Tensor& p, double tau, Generator& generator, bool hard = true);

// -- explanations by gradients -------------------------------------------------------------------------------------

/// f maps series [B, T, d] to one number each [B].
using Score = std::function<Tensor(const Tensor& x)>;
/// x ⊙ ∂f/∂x.
Tensor gradient_times_input(const Score& f, const Tensor& x);
/// (x − baseline) ⊙ mean over k of ∂f/∂x at baseline + (k + ½) / steps · (x − baseline) (Sundararajan et al. 2017); baseline broadcasts.
/// Throws ValueError for steps < 1.
Tensor integrated_gradients(const Score& f, const Tensor& x, const Tensor& baseline, int64_t steps = 50);

// -- measures against a known truth --------------------------------------------------------------------------------

struct SaliencyMetrics {
  double auprc = 0;  ///< average precision
  double aup = 0;    ///< ∫ precision over the threshold
  double aur = 0;    ///< ∫ recall over the threshold
};
/// Of one sample: scores of any one shape, to [0, 1] by their range (plus 1e-9); truth (0 or 1) of the same shape; thresholds are the
/// different scores ascending, an element counts if its score ≥ threshold, integrals by trapezoids. Throws ShapeError for different shapes,
/// ValueError for a truth of zeros alone or ones alone, or a score that is NaN.
SaliencyMetrics saliency_metrics(const Tensor& score, const Tensor& truth);
/// The mean over samples [N, ..].
SaliencyMetrics mean_saliency_metrics(const Tensor& score, const Tensor& truth);

/// x [N, T, d] with the share of each sample's elements whose scores are lowest replaced by the baseline, which broadcasts to x.
Tensor occlude_lowest(const Tensor& x, const Tensor& score, double share, const Tensor& baseline);

}  // namespace plumb::methods::timex
