// The model of FEAMOE: a mixture of logistic experts whose predictions are cheap to explain and whose number of experts changes.
#pragma once
#include <vector>

#include "models/moe/tabular.h"

namespace plumb::methods::feamoe {

/// s_k = w_k · x + b_k,  p_k = σ(s_k),  g = softmax(V x + c),  q(x) = Σ_k g_k p_k: probabilities are averaged, not logits. Accepted where
/// q ≥ ½. A moe::TabularMoe with linear experts and one output, from which log_joint, responsibilities, add_expert and keep_experts come.
/// Rows are x [B, inputs], ShapeError otherwise. (Sharma, Henderson & Ghosh, IJCAI 2023.)
class MixtureOfLinearExperts : public moe::TabularMoe {
 public:
  /// Weights start as nn::Linear does. Throws ConfigError for inputs or experts below 1.
  explicit MixtureOfLinearExperts(int64_t inputs, int64_t experts = 1);

  /// q [B].
  Tensor predict(const Tensor& x) const;
  /// g [B, K].
  Tensor gate_shares(const Tensor& x) const { return gates(x); }
  /// Σ_k g_k(x) s_k(x), [B]: the logit that shapley explains. Not the logit of q.
  Tensor gated_logit(const Tensor& x) const;
  /// r(x) = Σ_k g_k(x) relu(−s_k(x)) / ‖w_k‖, [B]: how far x is from being accepted (recourse, or burden), w_k without the bias.
  /// With `detach_gate` g is constant to the derivative.
  Tensor recourse_distance(const Tensor& x, bool detach_gate = false) const;

  /// Mean gate share of each expert over the rows of x: [K].
  Tensor mean_shares(const Tensor& x) const;
  /// Removes the experts whose mean share over x is below min_share, but for the largest. Returns those that stay, by their former numbers.
  /// Make optimisers afterwards if some went. Throws ValueError unless 0 ≤ min_share < 1.
  std::vector<int64_t> prune(const Tensor& x, double min_share);

  /// φ_j(x) = Σ_k g_k(x) w_kj (x_j − x̄_j): [B, inputs], x̄ [inputs] the background's mean; O(K d) a row. With the gate held at x these are
  /// the Shapley values of Σ_k g_k(x) s_k(·), since each s_k is linear: Σ_j φ_j = Σ_k g_k(x) (s_k(x) − s_k(x̄)). With a gate that moves
  /// along they are not; exact_shapley (methods/common/shapley.h) of gated_logit tells by how much.
  Tensor shapley(const Tensor& x, const Tensor& background_mean) const;

 private:
  Tensor weights() const;  // [K, inputs]
};

}  // namespace plumb::methods::feamoe
