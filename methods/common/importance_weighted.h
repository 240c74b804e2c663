// Importance-weighted bounds of latent-variable models (Burda, Grosse & Salakhutdinov, ICLR 2016), with the terms that models of missing
// data (MIWAE, notMIWAE, supMIWAE) add, and predictions by self-normalised weights.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::methods {

/// Log-probabilities of K samples of the latent, [K, ..]; what a model lacks stays undefined.
struct ImportanceTerms {
  Tensor log_p_x, log_p_z, log_q;     ///< log p(x_obs | z_k), log p(z_k), log q(z_k | x_obs)
  Tensor log_p_y = {}, log_p_s = {};  ///< of the label, of the pattern of missing values
  Tensor log_p_m = {};                ///< of masks that were drawn themselves: adding it counts their distribution twice (see supnotmiwae)
};

/// log r_k = log p(x_obs | z_k) + log p(z_k) − log q(z_k | x_obs) (+ log p(m_k) if it is there).
Tensor log_importance(const ImportanceTerms& terms);
/// −log 1/K Σ_k exp(log r_k + log p(y | ·) + log p(s | ·)), [..]: one number an example. Throws ShapeError for terms of other shapes,
/// ValueError for no samples.
Tensor importance_weighted_loss(const ImportanceTerms& terms);
/// w_k = softmax_k(log r_k), [K, ..].
Tensor importance_weights(const Tensor& log_r);
/// Σ_k w_k p_k: log_r [K, B], p [K, B, C] → [B, C].
Tensor importance_predict(const Tensor& log_r, const Tensor& p);
/// 1 / Σ_k w_k², between 1 (one sample has all weight) and K: log_r [K, ..] → [..].
Tensor effective_sample_size(const Tensor& log_r);

}  // namespace plumb::methods
