// Margins of populations of models, and what they give away: was an example trained on, was it unlearned?
#pragma once
#include "engine/core/tensor.h"

namespace plumb::metrics {

/// z_y − log Σ_{c ≠ y} e^{z_c} = log(p_y / (1 − p_y)), the logit of the true class's probability, without overflow: logits [.., n, C] of n
/// examples (leading dimensions: models), labels i64 [n] → [.., n]. Throws ShapeError for sizes that do not fit, IndexError for a label
/// outside [0, C), ValueError below two classes.
Tensor margin(const Tensor& logits, const Tensor& labels);

/// The attack by one threshold: the area under the ROC curve of "was trained on" by margin, members [N, a] against others [N, b] of N
/// models, the mean over models. ½: nothing can be told. Throws ShapeError for other ranks or unequal N, ValueError for no examples.
double margin_attack(const Tensor& members, const Tensor& others);

struct LikelihoodAttack {
  double auc = 0.5;       ///< of the log likelihood ratio
  double accuracy = 0.5;  ///< of deciding by its sign
};
/// The attack on unlearning by likelihood ratios (U-LiRA; Hayes et al. 2024, after Carlini et al., S&P 2022): for each example, normal
/// distributions are fitted to the margins of half of the models (even places) that unlearned it and of half of those that never saw it,
/// and each of the others is given to the likelier side. a and b [N, n]: margins of N models of either kind on the n forgotten examples. ½:
/// the two cannot be told apart. Throws ShapeError for unequal shapes or another rank, ValueError for N < 4 or no examples.
LikelihoodAttack likelihood_attack(const Tensor& unlearned, const Tensor& retrained);

}  // namespace plumb::metrics
