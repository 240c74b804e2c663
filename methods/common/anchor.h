// Elastic weights: penalties that hold parameters near earlier values, each as firmly as it mattered there.
#pragma once
#include <vector>

#include "methods/common/fisher.h"

namespace plumb::methods {

/// weight · Σ_k ω_k (θ_k − θ0_k)²: with Fisher ω the penalty of EWC and EATA, with ω = 1 that of L2 to the start.
class QuadraticAnchor {
 public:
  QuadraticAnchor() = default;
  /// Handles to the parameters; ω and θ0 are shared, not copied. Throws ShapeError if they do not match the parameters one by one,
  /// ValueError for a negative weight.
  QuadraticAnchor(std::vector<Tensor> parameters, std::vector<Tensor> omega, std::vector<Tensor> origin, double weight);
  /// As above, matched by name. Throws ValueError for a parameter that `fisher` does not have.
  QuadraticAnchor(const std::vector<nn::NamedTensor>& parameters, const FisherDiagonal& fisher, double weight);
  /// ω = 1, θ0 = θ as it is now.
  static QuadraticAnchor to_current(const std::vector<nn::NamedTensor>& parameters, double weight);

  /// The penalty, a scalar of the graph; 0 outside it without parameters or weight.
  Tensor penalty() const;
  double weight() const { return weight_; }
  const std::vector<Tensor>& omega() const { return omega_; }
  const std::vector<Tensor>& origin() const { return origin_; }

 private:
  std::vector<Tensor> parameters_, omega_, origin_;
  double weight_ = 0;
};

/// Gradient descent with momentum on a quadratic of slope 2 weight ω (θ − θ0) swings ever further once 2 lr weight ω > 2 (1 + momentum):
/// lr · weight · ω / (1 + momentum) for the largest ω; above 1 the penalty's own steps diverge. Throws ValueError for a momentum outside
/// [0, 1).
double anchor_step_ratio(double lr, double weight, double largest_omega, double momentum);

struct EwcOptions {
  double strength = 1;  ///< λ of ½ λ Σ ω (θ − θ0)²
  bool online = false;  ///< one anchor at the latest weights, ω ← decay · ω + ω_new (Schwarz et al., ICML 2018); else one a task
  double decay = 1;
};

/// Elastic weight consolidation (Kirkpatrick et al., PNAS 2017): after each task its Fisher diagonal is consolidated, and later tasks are
/// trained with loss + penalty().
class Ewc {
 public:
  /// Throws ValueError for a negative strength or a decay outside [0, 1].
  explicit Ewc(std::vector<nn::NamedTensor> parameters, EwcOptions options = {});
  /// At the end of a task, with the parameters as they are now being `fisher.origin`. Throws as QuadraticAnchor.
  void consolidate(const FisherDiagonal& fisher);
  /// ½ λ Σ_anchors Σ_k ω_k (θ_k − θ0_k)²; 0 before the first task ends.
  Tensor penalty() const;
  /// Task by task; one when online.
  const std::vector<QuadraticAnchor>& anchors() const { return anchors_; }

 private:
  std::vector<nn::NamedTensor> parameters_;
  EwcOptions options_;
  std::vector<QuadraticAnchor> anchors_;
};

}  // namespace plumb::methods
