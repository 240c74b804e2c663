// Logistic regression, solved to a tolerance: of all classes alike with a ridge, and of classes against the first (a block of larger
// problems).
#pragma once
#include "engine/core/tensor.h"

namespace plumb::methods {

struct LogisticOptions {
  double c = 1;           ///< C: weight of the data against the ridge, a sum over samples
  bool intercept = true;  ///< b, which is not penalised
  int iterations = 1000;  ///< of L-BFGS, from 0
  double gradient_tolerance = 1e-4;
};

/// argmin over W [K, n], b [K] of C Σ_i (logsumexp(z_i) − z_{i, y_i}) + ½ ‖W‖², z = W x + b, in f64. Only differences of b are determined;
/// from a zero start Σ_k W_k and Σ_k b_k stay 0.
class LogisticRegression {
 public:
  /// x [m, n], labels i64 [m]. Throws as check_class_rows; ValueError for a negative or infinite C.
  LogisticRegression(const Tensor& x, const Tensor& labels, int64_t classes, const LogisticOptions& options = {});
  Tensor scores(const Tensor& x) const;         ///< z [m, K]
  Tensor predict(const Tensor& x) const;        ///< class numbers [m]
  Tensor probabilities(const Tensor& x) const;  ///< [m, K]
  const Tensor& weight() const { return weight_; }
  const Tensor& bias() const { return bias_; }
  double objective() const { return objective_; }
  double gradient() const { return gradient_; }  ///< its largest element at the solution
  bool converged() const { return converged_; }  ///< gradient ≤ gradient_tolerance

 private:
  Tensor weight_, bias_;
  double objective_ = 0, gradient_ = 0;
  bool converged_ = false;
};

/// Σ_s [log(1 + Σ_c exp a_sc) − a_{s, y_s}] with a_{s, 0} = 0: logits a [n, κ] of the classes 1 … κ against class 0; labels i64 [n] in [0,
/// κ]. A scalar, without overflow. Throws as cross_entropy.
Tensor reference_cross_entropy(const Tensor& logits, const Tensor& labels);
/// P(y = c) for c = 1 … κ: [n, κ].
Tensor reference_probabilities(const Tensor& logits);
/// argmin over w [d, κ] of reference_cross_entropy(features w) + ridge ‖w‖², from `start` [d, κ]: features [n, d], f64. The logistic block
/// of alternating minimisation: it never ends above where it starts. Throws ShapeError for sizes that do not fit, ValueError for a negative
/// ridge.
Tensor reference_regression(const Tensor& features, const Tensor& labels, const Tensor& start, double ridge = 0,
                            double gradient_tolerance = 1e-8);

}  // namespace plumb::methods
