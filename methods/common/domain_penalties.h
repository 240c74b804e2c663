// Penalties of domain generalisation: what is to be equal across training environments, besides the mean of their losses. Every one is a
// scalar that is 0 where nothing differs, and 0 for a single environment; all throw ValueError for none.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::methods {

/// Invariant risk minimisation, IRMv1 (Arjovsky et al. 2019), of one environment: (∂/∂s L(s·logits) at s = 1)², where the derivative is
/// mean_i ⟨p_i − y_i, logits_i⟩ in closed form. logits [n, C] with labels i64 [n]; one logit, [n, 1] or [n], is a sigmoid's. Add up over
/// environments or take their mean. It is not 0 for a single environment. Throws ShapeError for shapes that do not fit, ValueError for an
/// empty batch.
Tensor irm_penalty(const Tensor& logits, const Tensor& labels);

/// V-REx (Krueger et al., ICML 2021): mean_e (L_e − L̄)², the population variance of the environments' losses. Of two environments it is
/// (L_1 − L_2)² / 4; the released Colored-MNIST script has (L_1 − L_2)².
Tensor vrex_penalty(const std::vector<Tensor>& losses);

/// Fishr (Rame et al., ICML 2022): Σ_e ‖v_e − v̄‖², v_e the variance over examples of the classifier's gradient in environment e
/// (HeadStatistics::gradient_variance), v̄ their mean. Throws ShapeError unless all have one shape.
Tensor fishr_penalty(const std::vector<Tensor>& gradient_variances);

/// CORAL (Sun & Saenko 2016): the mean over pairs of environments of mean_k (μ_e − μ_e')_k² + mean_kl (S_e − S_e')_kl², μ the mean and S
/// the covariance (divisor n − 1) of the features [n_e, d]. Throws ShapeError unless all have d columns, ValueError for fewer than 2
/// examples.
Tensor coral_penalty(const std::vector<Tensor>& features);

/// Inter-environmental gradient alignment, IGA (Koyama & Yamaguchi 2020): mean_e ‖g_e − ḡ‖², the trace of the gradients' variance over
/// environments. gradients[e] are those of L_e in all parameters, made with create_graph. Throws ShapeError unless all environments have as
/// many of the same shapes.
Tensor iga_penalty(const std::vector<std::vector<Tensor>>& gradients);

/// How a penalty enters late: weight 1 before step `start`, then `weight`; where the weight exceeds 1, `rescale` divides the whole
/// objective by it, so that gradients keep their size.
struct PenaltyAnneal {
  int64_t start = 190;
  double weight = 91257.19;
  bool rescale = true;

  double at(int64_t step) const { return step < start ? 1 : weight; }
  /// (loss + w · penalty) / max(w, 1) with w = at(step); (loss + w · penalty) without rescale.
  Tensor operator()(const Tensor& loss, const Tensor& penalty, int64_t step) const;
  /// Throws ValueError for a negative start or weight.
  void check() const;
};

}  // namespace plumb::methods
