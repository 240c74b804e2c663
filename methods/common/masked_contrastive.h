// Contrastive losses over a matrix of similarities, with masks that say which pairs belong together and which do not: ConR, the supervised
// contrastive loss, InfoNCE, and the decoupled form.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::methods {

struct MaskedContrastive {
  Tensor positive, negative;   ///< bool [M, K]; pairs in neither count nothing, pairs in both are an error
  Tensor negative_log_weight;  ///< [M, K], log of how much a negative counts; undefined: all 0
  Tensor extra;                ///< [M], log of a number that is added to each denominator; undefined: nothing
};

/// For each row i of similarities s [M, K] (already divided by a temperature)
///   L_i = −1/|P_i| Σ_{p ∈ P_i} log[ e^{s_ip} / (Σ_{p' ∈ P_i} e^{s_ip'} + Σ_{n ∈ N_i} w_in e^{s_in} + extra_i) ],      0 where P_i is empty
/// [M]; by log-sum-exp, so that no temperature overflows. Masks, weights and extra are constants. Throws ShapeError or DTypeError for
/// others than said.
Tensor masked_contrastive(const Tensor& similarities, const MaskedContrastive& pairs);

/// The decoupled form, whose positives are not in the denominator (Yeh et al., ECCV 2022):
///   L_i = −p_i + log(Σ_{n ∈ N_i} e^{s_in} + e^{extra_i}),      −p_i alone where there are neither negatives nor extra
/// [M], of the positives' similarities p [M], all similarities s [M, K] and the negatives bool [M, K]; extra [M], a constant, may be
/// undefined. Throws ShapeError or DTypeError for others than said.
Tensor decoupled_contrastive(const Tensor& positive, const Tensor& similarities, const Tensor& negative, const Tensor& extra = {});

/// ⟨x_i, x_j⟩ / (‖x_i‖ ‖x_j‖ τ) of rows [M, D] → [M, M]; a row of length 0 is taken as it is. Throws ShapeError, ValueError unless τ > 0.
Tensor cosine_similarities(const Tensor& rows, double temperature);

/// The supervised contrastive loss (Khosla et al., NeurIPS 2020): positives are other rows with the same label, negatives rows with another
/// one; the mean over rows that have a positive, 0 if none has. features [M, D], labels i64 [M].
Tensor supervised_contrastive(const Tensor& features, const Tensor& labels, double temperature = 0.1);

}  // namespace plumb::methods
