// Losses that wrong labels move less than the cross-entropy: baselines of every method for noisy labels. logits [B, C], labels i64 [B]; the
// mean over the batch. Throws as cross_entropy does (ops/loss.h).
#pragma once
#include "engine/core/tensor.h"

namespace plumb::methods {

/// Generalised cross-entropy (1 − p_y^q) / q (Zhang & Sabuncu, NeurIPS 2018): q → 0 is the cross-entropy, q = 1 the mean absolute error.
/// Throws ValueError unless 0 < q ≤ 1.
Tensor generalized_cross_entropy(const Tensor& logits, const Tensor& labels, double q = 0.7);

struct SymmetricOptions {
  double alpha = 0.1;     ///< weight of the cross-entropy
  double beta = 1;        ///< weight of the reverse one
  double log_zero = -4;   ///< what log 0 counts in the reverse one
};
/// α CE + β RCE with RCE = −Σ_c p_c log y_c = −log_zero (1 − p_y) for one-hot labels (Wang et al., ICCV 2019).
Tensor symmetric_cross_entropy(const Tensor& logits, const Tensor& labels, const SymmetricOptions& options = {});

/// Σ_c |p_c − y_c| / 2 = 1 − p_y (Ghosh et al., AAAI 2017).
Tensor absolute_error(const Tensor& logits, const Tensor& labels);

}  // namespace plumb::methods
