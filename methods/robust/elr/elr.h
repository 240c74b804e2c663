// Early-Learning Regularization (Liu, Niles-Weed, Razavian, Fernandez-Granda, NeurIPS 2020): keeps a network from memorising wrong labels
// by holding its predictions near their own running average, which was formed before memorisation began.
//   loss = CE(z, y) + λ · mean_i log(1 − ⟨p_i, t_i⟩),    t_i ← β t_i + (1 − β) p_i / Σ p_i  before it is used (no gradient through t)
#pragma once
#include "engine/core/tensor.h"
#include "methods/common/per_sample.h"

namespace plumb::methods::elr {

struct ElrOptions {
  double lambda = 3;    ///< weight of the regulariser
  double clamp = 1e-4;  ///< probabilities are held within [clamp, 1 − clamp], without gradient beyond
};

/// softmax(logits) held within [clamp, 1 − clamp]: [B, C].
Tensor clamped_softmax(const Tensor& logits, double clamp = 1e-4);

/// mean_i log(1 − ⟨p_i, t_i⟩), p = clamped_softmax(logits), targets [B, C] taken as constants. It lies in [log clamp, 0]. For an example
/// whose p is nowhere held:  ∂/∂z_c = −p_c (t_c − ⟨p, t⟩) / (1 − ⟨p, t⟩) / B. Throws ShapeError unless both are [B, C].
Tensor elr_regularizer(const Tensor& logits, const Tensor& targets, double clamp = 1e-4);

/// The objective for one batch: moves the targets of the examples `index` (i64 [B]) towards their predictions, then CE + λ · regulariser.
/// logits [B, C], labels i64 [B]; `targets` has C columns. With λ = 0 it is the cross-entropy, bit for bit.
/// Throws ShapeError for another number of classes, IndexError for an index outside the table or a label outside [0, C), ValueError for an
/// index that occurs twice.
Tensor elr_loss(const Tensor& logits, const Tensor& labels, const Tensor& index, PerSampleEma& targets, const ElrOptions& options = {});

/// The natural alternative that the paper finds weaker, since it holds back clean examples as well: CE − λ · mean_i Σ_c t_ic log p_ic, with
/// the same targets.
Tensor soft_label_loss(const Tensor& logits, const Tensor& labels, const Tensor& index, PerSampleEma& targets,
                       const ElrOptions& options = {});

/// After training: bool [n], argmax_c t_ic ≠ y_i, the examples whose label the targets contradict. labels i64 [n], one a row of the table.
Tensor mislabelled(const PerSampleEma& targets, const Tensor& labels);

}  // namespace plumb::methods::elr
