// MDCS: More Diverse experts with Consistency Self-distillation for long-tailed recognition (Zhao, Jiang, Hu, Zhang, Liu, ICCV 2023).
// Experts on a shared trunk, each with its own exponent λ_e of the class prior, so that one is good at frequent, one at all, one at rare
// classes; and each learns from its own prediction on a weak view what to predict on a strong one, where that prediction is right.
//   u_e = v_e + log(n^λ_e + 1e-9),      L = Σ_e CE(u_e, y) + α min(epoch / warm-up, 1) Σ_e L_CS(u_e)
// Asked afterwards is the mean of the v_e, without the adjustment.
#pragma once
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::methods::mdcs {

/// Consistency self-distillation of one classifier with confident instance sampling:
///   T² · 1/|I| Σ_{i ∈ I} KL(p_i ‖ q_i),   p = softmax(weak / T) as a constant, q = softmax(strong / T),   I = {i : argmax weak_i = y_i}
/// weak and strong logits [B, C] of two views of the same examples, labels i64 [B]. 0 if I is empty. Without `confident_only` I is all of
/// them. The mean is over I, not over B, or the term would count little while few are right. Throws ShapeError for sizes that do not fit,
/// IndexError for a label outside [0, C), ValueError unless T > 0.
Tensor confident_self_distill(const Tensor& weak_logits, const Tensor& strong_logits, const Tensor& labels, double temperature = 1,
                              bool confident_only = true);

struct MdcsOptions {
  std::vector<double> exponents = {-0.5, 1, 2.5};  ///< λ of each expert
  double alpha = 0.6;                              ///< weight of the consistency; 0: the diversity loss alone
  double warmup = 20;                              ///< epochs in which the weight rises to α; 0: none
  double temperature = 1;
  bool confident_only = true;  ///< confident instance sampling
};

/// What a batch came to.
struct MdcsTerms {
  Tensor loss;           ///< diversity + weight · consistency
  Tensor diversity;      ///< L_DL = Σ_e CE(u_e, y), a mean over all views
  Tensor consistency;    ///< Σ_e L_CS, unweighted; undefined if it was not asked for
  double confident = 0;  ///< share of (expert, weak view) pairs that teach
};

/// The objective for a training set with these class counts. It is a value: priors and options.
class MdcsLoss {
 public:
  /// Throws ValueError as log_prior does (a class without examples under a negative exponent), for no exponents, α < 0, warm-up < 0 or T ≤
  /// 0.
  explicit MdcsLoss(const std::vector<int64_t>& counts, MdcsOptions options = {});
  /// logits: one [2B, C] for each expert, the B weak views first, then the strong ones of the same examples in the same order; labels i64
  /// [B]; epoch counts from 1. With α = 0 the loss is the diversity loss, bit for bit. Throws ShapeError for another number of experts, an
  /// odd number of rows or sizes that do not fit.
  MdcsTerms operator()(const std::vector<Tensor>& logits, const Tensor& labels, double epoch) const;
  /// α min(epoch / warm-up, 1).
  double weight(double epoch) const;
  const MdcsOptions& options() const { return options_; }

 private:
  MdcsOptions options_;
  std::vector<Tensor> priors_;
};

/// Σ_e CE(v_e + prior_e, y) for logits [N, C] and labels i64 [N]. Throws ShapeError for another number of experts than priors.
Tensor diversity_loss(const std::vector<Tensor>& logits, const Tensor& labels, const std::vector<Tensor>& priors);

/// The loss of RIDE's first stage (Wang et al., ICLR 2021), which makes experts differ by their predictions instead of their priors:
///   Σ_e CE(v_e, y) − weight · Σ_e KL(p̄ ‖ p_e),   p̄ = softmax(mean of the v) as a constant
Tensor ride_loss(const std::vector<Tensor>& logits, const Tensor& labels, double weight = 0.2);

/// The mean of KL(p_e ‖ p_f) over examples and ordered pairs of different experts, in nats; 0 for one expert. Outside the graph. Throws
/// ValueError for no experts, ShapeError for logits that differ in shape.
double expert_diversity(const std::vector<Tensor>& logits);

}  // namespace plumb::methods::mdcs
