// Losses for classes of very different frequency: logits adjusted by the classes' prior in training, margins, and weights that come late.
// logits [B, C], labels i64 [B]; the mean over the batch; throw as cross_entropy does (ops/loss.h).
#pragma once
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::methods {

/// log(n_c^λ + eps) of the raw counts, f64 [C]: what is added to logits in training so that what is left of them without it favours
/// frequent classes (λ < 0), none (λ = 1, the balanced softmax) or rare ones (λ > 1). Proportions in place of counts differ by a constant,
/// up to eps. Throws ValueError for no classes, a negative count, a count of 0 with λ < 0, or a λ that is not finite.
Tensor log_prior(const std::vector<int64_t>& counts, double lambda = 1, double eps = 1e-9);

/// CE(z + prior, y), prior [C] as log_prior gives it: the balanced softmax (Ren et al., NeurIPS 2020) and logit adjustment (Menon et al.,
/// ICLR 2021, τ = λ). A classifier trained so is asked without the adjustment. Throws ShapeError for another number of classes.
Tensor prior_adjusted_cross_entropy(const Tensor& logits, const Tensor& labels, const Tensor& prior);

/// m_c ∝ n_c^(−1/4) with the largest equal to `largest`, f64 [C] (Cao et al., NeurIPS 2019). Throws ValueError for a class without
/// examples or largest ≤ 0.
Tensor ldam_margins(const std::vector<int64_t>& counts, double largest = 0.5);

/// LDAM: the cross-entropy with z_y lowered by scale · m_y, for logits that are `scale` times cosines (nn::CosineLinear). `weight` [C], as
/// in cross_entropy; undefined: all 1.
Tensor ldam_loss(const Tensor& logits, const Tensor& labels, const Tensor& margins, double scale = 30, const Tensor& weight = {});

/// DRW: undefined before epoch `start`, from then on the weights (1 − β) / (1 − β^n_c) with mean 1, f32 [C]: deferred re-weighting
/// (Cao et al., NeurIPS 2019; the weights of Cui et al., CVPR 2019). Throws as data::effective_number_weights.
Tensor deferred_weights(const std::vector<int64_t>& counts, int64_t epoch, int64_t start, double beta = 0.9999);

}  // namespace plumb::methods
