// What share of a matrix its leading singular values carry.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::methods {

/// R = Σ_{i ≤ k} σ_i / (Σ_i σ_i + 1e-10), a scalar in [0, 1]: σ_1 ≥ σ_2 ≥ … the singular values of a [m, n], k clamped to min(m, n).
///   dR/da = U diag((1[i ≤ k] − R) / Σ σ) Vᵀ
/// divides by no difference of singular values: it is exact wherever σ_k > σ_{k+1} and all σ_i > 0, and a subgradient elsewhere. A zero
/// matrix has ratio 0 and gradient 0. 16-bit matrices are taken as f32. The gradient can be differentiated again where svd can.
/// Throws ShapeError unless a is a matrix, ValueError for k < 1 and for NaN or infinity in a.
Tensor svd_ratio(const Tensor& a, int64_t k);

}  // namespace plumb::methods
