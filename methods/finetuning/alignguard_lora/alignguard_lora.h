// AlignGuard-LoRA: Alignment-Preserving Fine-Tuning via Fisher-Guided Decomposition and Riemannian-Geodesic Collision Regularization
// (Das, Borah, Jain, Chadha; arXiv 2508.02079): a low-rank change D of a weight is split by the directions U that behaviour to be kept
// depends on, D_A = U Uᵀ D and D_T = D − D_A, and each part pays in its own measure, both together where they collide.
//
//   L = L_task + λ_A Σ_k λ_k ‖u_kᵀ D_A‖² + λ_T Σ_i h_i ‖D_T,i‖² + λ_NC (α E_RM + (1 − α) E_geo)
//
//   std::vector<Tensor> fisher = estimate_row_fisher(model, weights, kept_inputs);            // on what must not change, before training
//   std::vector<GuardedLayer> layers;
//   for (const Tensor& f : fisher) layers.push_back({leading_space(f, {.rank = 8}).normalized()});
//   AlignGuard guard(layers, {.alignment = 2.5, .task = 0.5, .collision = 0.1});
//   …   guard.loss(cross_entropy(model(x), label), adapter_changes(adapters)).backward();
#pragma once
#include <span>
#include <vector>

#include "methods/common/fisher_space.h"
#include "ops/loss.h"

namespace plumb::methods::alignguard_lora {

// -- the penalties ----------------------------------------------------------------------------------

/// Σ_k λ_k ‖u_kᵀ D‖² = ‖F^½ D_A‖² for a change D [n] or [n, ..]. Throws ShapeError for another first dimension.
Tensor weighted_subspace_penalty(const Tensor& change, const FisherSpace& space);
/// Σ h D² with one weight a row, h [n], for D [n] or [n, ..]; h undefined: Σ D². Throws ShapeError for h of another length.
Tensor weighted_square(const Tensor& change, const Tensor& h = {});
/// E_RM: the mean (or sum) over elements of η |a b|,  η = 1 + β σ(|w| − τ), all of one shape; η has a gradient, |·| the one 0 at 0.
/// Throws ShapeError for other shapes.
Tensor riemannian_overlap(const Tensor& a, const Tensor& b, const Tensor& w, double beta = 4, double tau = 0.01,
                          Reduction reduction = Reduction::mean);
/// E_geo = ⟨a, b⟩² / (‖a‖² ‖b‖² + ε), in [0, 1]. Throws ShapeError for other shapes, ValueError unless ε > 0.
Tensor squared_cosine(const Tensor& a, const Tensor& b, double eps = 1e-12);

// -- the whole --------------------------------------------------------------------------------------

struct AlignGuardOptions {
  double alignment = 0.25, task = 0.5, collision = 0.1;  ///< λ_A, λ_T, λ_NC
  double alpha = 0.5;                                    ///< share of E_RM in the collision
  double beta = 4, tau = 0.01, eps = 1e-12;
  Reduction reduction = Reduction::mean;  ///< of E_RM within a layer
  /// Throws ValueError for a negative λ, α outside [0, 1], ε ≤ 0, or a reduction that leaves no number.
  void check() const;
};

/// What is known of one weight: its directions, and h of the task's penalty, one weight a row (undefined: all 1).
struct GuardedLayer {
  FisherSpace space;
  Tensor h;
};

/// The terms without their multipliers: the first two summed over layers, the others averaged.
struct Terms {
  Tensor alignment, task, riemannian, geodesic;
};

class AlignGuard {
 public:
  /// Throws ValueError for no layers and as options.check, ShapeError for h of another length than its layer's dimension.
  explicit AlignGuard(std::vector<GuardedLayer> layers, AlignGuardOptions options = {});

  /// The terms of one change a layer, split by the projector. P and I − P are orthogonal, so E_geo is 0 here but for rounding.
  Terms terms(const std::vector<Tensor>& changes) const;
  /// The terms of two adapters a layer, D = D_A + D_T, each with a change of its own: a soft decomposition, in which E_geo acts.
  Terms terms(const std::vector<Tensor>& alignment, const std::vector<Tensor>& task) const;
  /// L of the loss of the task and either kind of terms; with all λ 0 the task's loss itself.
  Tensor loss(const Tensor& task_loss, const std::vector<Tensor>& changes) const;
  Tensor loss(const Tensor& task_loss, const std::vector<Tensor>& alignment, const std::vector<Tensor>& task) const;
  /// Goes on from here: directions measured anew, and changes counted from what they are now (one a layer; of two adapters their sums
  /// are not anchored). Throws as the constructor, and ShapeError for another number of changes.
  void refresh(std::vector<GuardedLayer> layers, const std::vector<Tensor>& changes);

  const AlignGuardOptions& options() const { return options_; }
  const std::vector<GuardedLayer>& layers() const { return layers_; }

 private:
  Tensor weighted(const Tensor& task_loss, const Terms& terms) const;
  void add(Terms& terms, size_t layer, const Tensor& a, const Tensor& b, const Tensor& whole) const;
  void check_count(size_t changes) const;

  std::vector<GuardedLayer> layers_;
  std::vector<Tensor> anchors_;  // empty: changes are counted from 0
  AlignGuardOptions options_;
};

// -- the law of forgetting --------------------------------------------------------------------------

/// y = coefficient · x^exponent
struct PowerLaw {
  double coefficient = 0, exponent = 0;
  double operator()(double x) const;
};
/// By least squares between logarithms: how the loss on what is to be kept rises with the number of examples trained on (the paper's
/// A D^β / N^α at one size of the model, above a floor that is taken off before). Throws ValueError for fewer than two different x, lists
/// of different lengths, or numbers that are not positive.
PowerLaw fit_power_law(std::span<const double> x, std::span<const double> y);

}  // namespace plumb::methods::alignguard_lora
