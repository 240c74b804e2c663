// More losses that wrong labels move less than the cross-entropy (the first ones: noisy_label_losses.h), and all of them by name with the
// parameter that is tuned. logits f [B, K], labels y i64 [B], p = softmax(f); the mean over the batch. All throw ShapeError for other
// shapes, ValueError for K < 2, IndexError naming a label outside [0, K).
#pragma once
#include <span>
#include <string_view>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::methods {

// -- margins between scores -------------------------------------------------------------------------------

/// max_k (c 1[k ≠ y] + f_k − f_y), never negative since k = y gives 0 (Crammer & Singer 2001). Equal largest ones share the gradient.
Tensor crammer_singer_loss(const Tensor& scores, const Tensor& labels, double margin = 1);
/// Σ_k max(0, c 1[k ≠ y] + f_k − f_y) / K (Weston & Watkins 1998).
Tensor weston_watkins_loss(const Tensor& scores, const Tensor& labels, double margin = 1);

// -- functions of probabilities ---------------------------------------------------------------------------

/// Σ_k (1[k = y] − p_k)².
Tensor probability_mse(const Tensor& logits, const Tensor& labels);
/// log p_y / Σ_k log p_k, in (0, 1) (Ma et al., ICML 2020).
Tensor normalized_cross_entropy(const Tensor& logits, const Tensor& labels);
/// −Σ_k p_k log max(1[k = y], zero) = −log(zero) (1 − p_y) (Wang et al., ICCV 2019). Throws ValueError unless 0 < zero < 1.
Tensor reverse_cross_entropy(const Tensor& logits, const Tensor& labels, double zero = 1e-4);

struct AsymmetricOptions {
  double a, q;
};
/// ((a − p_y)^q − (a − 1)^q) / q, asymmetric unhinged loss (Zhou et al., ICML 2021). Throws ValueError unless a > 1 and q > 0.
Tensor asymmetric_unhinged_loss(const Tensor& logits, const Tensor& labels, AsymmetricOptions options = {6, 1.5});
/// ((a + 1)^q − (a + p_y)^q) / q, asymmetric generalised cross-entropy (the same paper). Throws ValueError unless a > 0 and q > 0.
Tensor asymmetric_generalized_loss(const Tensor& logits, const Tensor& labels, AsymmetricOptions options = {3, 1.5});

/// s (π₁ KL(onehot ‖ m) + π₂ KL(p ‖ m)), m = π₁ onehot + π₂ p, π₂ = 1 − π₁, s = −1 / ((1 − π₁) log(1 − π₁)): generalised Jensen–Shannon
/// (Englesson & Azizpour, NeurIPS 2021). π₁ → 0 is the cross-entropy. It depends on p_y alone:
///   s [−π₁ log(π₁ + π₂ p_y) − π₂ (1 − p_y) log π₂ + π₂ p_y (log p_y − log(π₁ + π₂ p_y))].   Throws ValueError unless 0 < π₁ < 1.
Tensor generalized_js_loss(const Tensor& logits, const Tensor& labels, double first_weight = 0.5);
/// −log(t + p_y) + Σ_{k ≠ y} log(t + p_k) / (K − 1), robust log loss (Patel & Sastry 2023 form on probabilities). Throws ValueError unless
/// t > 0.
Tensor robust_log_loss(const Tensor& logits, const Tensor& labels, double shift = 0.1);

/// Active plus passive (Ma et al., ICML 2020): v NCE + (10 − v) RCE, or AUL, or AGCE in its place. Throws ValueError unless 0 ≤ v ≤ 10.
Tensor nce_and_rce(const Tensor& logits, const Tensor& labels, double active = 5);
Tensor nce_and_aul(const Tensor& logits, const Tensor& labels, double active = 5);
Tensor nce_and_agce(const Tensor& logits, const Tensor& labels, double active = 5);

/// Truncated generalised cross-entropy (Zhang & Sabuncu, NeurIPS 2018): mean_i w_i (1 − p_y^q) / q with w_i = 1 for examples whose p_y was
/// above k when refresh() last saw them, else 0; all 1 at the start. The mean counts the examples without weight too.
class TruncatedGce {
 public:
  /// Throws ValueError unless samples ≥ 1, 0 < q ≤ 1 and 0 ≤ k < 1.
  explicit TruncatedGce(int64_t samples, double q = 0.7, double k = 0.5);
  /// Decides the weights of the examples `index`, i64 [B]. Once an epoch, over all of them.
  void refresh(const Tensor& logits, const Tensor& labels, const Tensor& index);
  /// Throws IndexError for an index outside [0, samples).
  Tensor operator()(const Tensor& logits, const Tensor& labels, const Tensor& index) const;
  /// [samples] f32, for checkpoints.
  const Tensor& weights() const { return weights_; }

 private:
  double q_, k_;
  Tensor weights_;
};

// -- all of them, by name -----------------------------------------------------------------------------------

struct RobustLoss {
  const char* name;           ///< "gce", as `--loss` takes it
  const char* about;          ///< its formula
  const char* parameter;      ///< what is tuned: "q"; empty: nothing
  double usual;               ///< its usual value
  std::vector<double> tried;  ///< three values worth trying; empty without a parameter
  Tensor (*loss)(const Tensor& logits, const Tensor& labels, double parameter);
};
/// The stateless losses: ce, crammer-singer, weston-watkins, gce, sce, mae, mse, nce, rce, aul, agce, js, rll, nce-rce, nce-aul, nce-agce.
std::span<const RobustLoss> robust_losses();
/// Throws ValueError for an unknown name, listing those that there are.
const RobustLoss& find_robust_loss(std::string_view name);

/// The checks that all of them make; `op` begins the message.
void check_class_scores(const char* op, const Tensor& scores, const Tensor& labels);

}  // namespace plumb::methods
