// ConR: Contrastive Regularizer for Deep Imbalanced Regression (Keramati, Meng, Evans, ICLR 2024). Features of rare targets collapse onto
// those of frequent neighbours, so that they are predicted as those. ConR draws features of examples with similar targets together, and
// pushes away those that only the prediction mistakes for similar, the more the further their targets are apart and the rarer the example
// is.
//   P_i = {j ≠ i : |y_i − y_j| ≤ ω},   N_i = {j : |y_i − y_j| > ω, |ŷ_i − ŷ_j| ≤ ω},   S_ij = w_i e^{e |y_i − y_j|}
//   L_i = −1/|P_i| Σ_{p ∈ P_i} log[ e^{s_ip} / (Σ_{p' ∈ P_i} e^{s_ip'} + Σ_{n ∈ N_i} S_in e^{s_in}) ],   s_ij = cos(F_i, F_j) / τ
// L_i = 0 where P_i or N_i is empty: an example that nothing is mistaken for needs no push.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::methods::conr {

enum class Push : uint8_t {
  exponential,  ///< S_ij = w_i exp(e D_ij)
  linear        ///< S_ij = w_i e D_ij (the code for depth)
};
enum class Denominator : uint8_t {
  paper,
  code  ///< 1 more for every column that is no positive, the example itself included, as the released code for ages computes it
};

struct ConrOptions {
  double omega = 1;  ///< how far apart targets may be to count as similar, in the targets' unit
  double tau = 0.2;
  double e = 0.01;  ///< e times the range of targets should be about 1, or the push explodes
  Push push = Push::exponential;
  Denominator denominator = Denominator::paper;
  bool weigh_anchors = true;  ///< L_i times w_i in the mean, as in the code for ages
};

/// L_i of every example, [M]. features [M, D], targets and predictions [M], or [M, K] with distances summed over K; weights [M] ≥ 0 from
/// the targets' density, undefined: 1. Gradients go into the features alone. A feature row of length 0 counts as at right angles to all.
/// Throws ValueError unless τ > 0, ω ≥ 0 and e is finite, for less than two examples, targets or predictions that are NaN, negative
/// weights; ShapeError for sizes that do not fit.
Tensor conr_anchors(const Tensor& features, const Tensor& targets, const Tensor& predictions, const ConrOptions& options = {},
                    const Tensor& weights = {});

/// 1/M Σ w_i L_i, or 1/M Σ L_i without weigh_anchors. M counts all examples, those with L_i = 0 too.
Tensor conr_loss(const Tensor& features, const Tensor& targets, const Tensor& predictions, const ConrOptions& options = {},
                 const Tensor& weights = {});

/// The objective: mean of w |prediction − target| + β conr_loss(…, predictions detached). predictions and targets [M]. With β = 0 it is the
/// regression loss, bit for bit. Throws ValueError for β < 0, and as conr_loss.
Tensor conr_objective(const Tensor& features, const Tensor& targets, const Tensor& predictions, double beta,
                      const ConrOptions& options = {}, const Tensor& weights = {});

}  // namespace plumb::methods::conr
