// Grokking at the edge of numerical stability: StableMax in place of softmax, and measures of what goes wrong without it.
// ⊥Grad, the other cure, is a gradient transform of the optimisers: optim::perpendicular (models/optim/transforms.h).
#pragma once
#include <vector>

#include "engine/core/tensor.h"
#include "methods/experiment.h"
#include "ops/loss.h"

namespace plumb::methods::stable_grokking {

// Prieto, Barsbey, Mediano & Birdal, "Grokking at the Edge of Numerical Stability", ICLR 2025.

/// s(x) = x + 1 for x ≥ 0, 1 / (1 − x) for x < 0: grows as a line where exp grows exponentially. s(0) = s'(0) = 1, s(x) s(−x) = 1.
Tensor stable_exponential(const Tensor& x);
/// s(z)_k / Σ_j s(z)_j over `dim`. Not invariant to shifts of z. Throws IndexError if dim is out of range.
Tensor stablemax(const Tensor& z, int dim = -1);
/// log stablemax(z) = log softmax(g(z)) with g(z) = sign(z) log(1 + |z|) = log s(z), without loss of small probabilities.
Tensor log_stablemax(const Tensor& z, int dim = -1);
/// −log stablemax(logits)_target over the last dimension, computed and returned in f64 as in the released code, whatever the logits' type.
/// logits [.., C], target i64 [..]. Derivative:   dz_k = s'(z_k) / Σ s − [k = target] s'(z_k) / s(z_k).   Throws as cross_entropy.
Tensor stablemax_cross_entropy(const Tensor& logits, const Tensor& target, Reduction reduction = Reduction::mean);

// The numerics under study. `precision` is f16, f32 or f64 and need not be the logits' type: they are rounded to it first, then every
// intermediate is (f16 is emulated so on the CPU), and terms are added one by one in order of the classes:
//   m = max_k z_k,   S = Σ_k e^(z_k − m),   loss = log S − (z_target − m)
// Each function throws DTypeError for another precision.

/// Cross-entropy of logits [n, C] and target i64 [n] in that precision, as written before fused kernels. Its derivative is rounded
/// likewise,
///   dz_k = dloss (e^(z_k − m) / S − [k = target]),
/// so once S has absorbed all other terms (S = 1), the largest class's gradient is exactly 0. The mean itself is taken in f64 and its share
/// 1/n rounded. Has first derivatives only. Throws ShapeError for other shapes, IndexError naming a target outside [0, C).
Tensor cross_entropy_at(const Tensor& logits, const Tensor& target, DType precision, Reduction reduction = Reduction::mean);
/// The share of rows of logits [n, C] whose S is exactly 1: softmax collapse. Throws ShapeError for another shape or n = 0.
double softmax_collapse_rate(const Tensor& logits, DType precision);
/// The share of losses that are exactly 0. Throws ShapeError for none.
double zero_loss_rate(const Tensor& losses);
/// cos(−∇L, θ) over all parameters together: near 1, the step does no more than scale the logits (naive loss minimisation). 0 if either is
/// 0. Throws ShapeError where the lists do not match.
double nlm_alignment(const std::vector<Tensor>& parameters, const std::vector<Tensor>& gradients);

Experiment experiment();

}  // namespace plumb::methods::stable_grokking
