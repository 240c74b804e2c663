// Datamodels (Ilyas et al., ICML 2022): what a model's outputs would be had it been trained on another subset, as a linear function of
// which examples were in it; and influence functions, which have the same additive form without retraining.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods {

/// bernoulli: each example is in with probability α, independently.   fixed: ⌊α n⌉ examples, uniformly; these masks sum to a constant, so
/// that effects are known up to a common shift alone.
enum class SubsetSize : uint8_t { bernoulli, fixed };
/// m random subsets of n examples: bool [m, n]. A subset is drawn again until it is neither empty nor everything. Throws ValueError for
/// m < 1, n < 2, α outside (0, 1), or a fixed size of 0 or n.
Tensor subset_masks(int64_t m, int64_t n, double alpha, Generator& generator, SubsetSize size = SubsetSize::bernoulli);

enum class DatamodelPenalty : uint8_t { ridge, lasso };

struct DatamodelOptions {
  DatamodelPenalty penalty = DatamodelPenalty::ridge;
  double lambda = 20;       ///< in the scale of a sum over the m models; a mean needs λ / m
  int64_t sweeps = 100;     ///< lasso: at most, of coordinate descent
  double tolerance = 1e-6;  ///< lasso: it ends when no coefficient moves further, relative to the largest
};

/// For each output k, min over b and β of Σ_j (f_k(θ_j) − b − ⟨1_j, β⟩)² + λ ‖β‖² (or λ ‖β‖₁), in f64; b is not penalised, i.e.
/// β = (XᵀX + λI)⁻¹ Xᵀ y with columns of masks and outputs centred.
class DatamodelRegression {
 public:
  explicit DatamodelRegression(DatamodelOptions options = {});
  /// masks [m, n] (bool or numbers) and outputs [m, ..]. Throws ShapeError for sizes that do not fit; ValueError for fewer than 2 subset
  /// models, or λ = 0 where the centred masks are linearly dependent, m ≤ n included.
  void fit(const Tensor& masks, const Tensor& outputs);
  /// b + masks β: [k, n] → f64 [k, ..].
  Tensor predict(const Tensor& masks) const;
  /// The change of the outputs when the examples of `forget` are removed, −Σ_{i ∈ F} β_i, f64 [..]; zeros for an empty set. Throws
  /// IndexError outside [0, n), ValueError for a repeated example or before fit.
  Tensor predict_removal(const std::vector<int64_t>& forget) const;
  const Tensor& coefficients() const { return beta_; }  ///< f64 [n, ..]
  const Tensor& intercept() const { return intercept_; }
  const DatamodelOptions& options() const { return options_; }

 private:
  void check_fitted() const;
  DatamodelOptions options_;
  Tensor beta_, intercept_;
};

/// −Σ_{i ∈ F} effects_i of any additive attribution effects [n, ..]: what predict_removal does. Throws as it does.
Tensor removal_effect(const Tensor& effects, const std::vector<int64_t>& forget);

struct LambdaChoice {
  double lambda = 0;
  std::vector<double> errors;  ///< mean squared error on the held-out models, one a candidate
};
/// The λ among `candidates` whose regression on the first (1 − held_out) m models predicts the others best; of equals the first. Throws
/// ValueError for no candidates, or a share that leaves fewer than 2 models on either side; else as fit.
LambdaChoice choose_lambda(const Tensor& masks, const Tensor& outputs, const std::vector<double>& candidates, double held_out,
                           DatamodelOptions options = {});

/// Influence functions (Koh & Liang, ICML 2017) with a Gauss–Newton Hessian of a softmax classifier trained on mean_i CE + ½ damping ‖θ‖²:
///   H = 1/n Σ_i J_iᵀ (diag p_i − p_i p_iᵀ) J_i + damping I,   effect of example i on output k of query x:  −1/n J_xk H⁻¹ J_iᵀ (p_i − y_i)
/// so that a removal subtracts it, as it does a datamodel's β. jacobian [n, C, K] of the training logits in the K parameters, logits
/// [n, C], labels i64 [n], queries [q, C, K] → f64 [n, q, C]. Throws ShapeError for sizes that do not fit, ValueError unless damping > 0.
Tensor influence_effects(const Tensor& jacobian, const Tensor& logits, const Tensor& labels, const Tensor& queries, double damping);

}  // namespace plumb::methods
