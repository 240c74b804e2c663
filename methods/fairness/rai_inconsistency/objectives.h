// Objectives that pull a model different ways, and trainers that follow several of them at once.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "models/nn/module.h"
#include "ops/tensor_function.h"

namespace plumb::methods::rai_inconsistency {

/// Rows x [n, d] with labels y and groups a [n], 0 or 1, of one type that computes (f32), and a model's one forward pass on them, which
/// objectives share.
struct Forward {
  const TensorFunction& model;  ///< x [n, d] → logits [n]
  Tensor x, y, a;
  Tensor logits;
};

struct Objective {
  std::string name;
  std::function<Tensor(const Forward&)> loss;  ///< a scalar
};

Objective cross_entropy_objective();
Objective demographic_parity_objective();  ///< (mean_1 p − mean_0 p)²
Objective equalised_odds_objective();      ///< Σ_y (gap of mean p given y)²
Objective calibration_objective();         ///< Σ_a (mean_a (p − y))²
/// The cross-entropy on x + N(0, σ²), drawn anew each time from the default generator; or on FGSM's examples.
Objective noise_objective(double sigma = 0.5);
Objective adversarial_objective(double epsilon = 0.1);

/// Smooth Chebyshev scalarisation μ ln Σ_i exp(w_i (f_i − z_i) / μ) of scalars f, z the ideal point: as μ → 0 the largest w_i (f_i − z_i).
/// Throws ShapeError unless there is a weight and an ideal for each, ValueError unless μ > 0.
Tensor smooth_chebyshev(const std::vector<Tensor>& losses, const std::vector<double>& weights, const std::vector<double>& ideal, double mu);

/// f_0 subject to f_i ≤ ε_i by an augmented Lagrangian (Powell 1969, Rockafellar 1973): f_0 + Σ_i (max(0, λ_i + ρ (f_i − ε_i))² − λ_i²) /
/// 2ρ, whose multipliers follow λ_i ← max(0, λ_i + ρ (f_i − ε_i)).
class AugmentedLagrangian {
 public:
  /// Throws ValueError unless rho > 0.
  AugmentedLagrangian(std::vector<double> bounds, double rho);
  /// losses: f_0, then one for each bound. Throws ShapeError for another number.
  Tensor loss(const std::vector<Tensor>& losses) const;
  void update(const std::vector<Tensor>& losses);
  const std::vector<double>& multipliers() const { return lambda_; }

 private:
  std::vector<double> bounds_, lambda_;
  double rho_;
};

enum class Combine : uint8_t { weighted_sum, chebyshev, pcgrad, mgda, epsilon_constraint };

struct TrainOptions {
  Combine combine = Combine::weighted_sum;
  std::vector<double> weights;  ///< one an objective; one of weight 0 is not computed, so that its training is that without it, bit by bit
  std::vector<double> ideal;    ///< Chebyshev's z; empty: zeros
  double mu = 0.1;
  std::vector<double> bounds;  ///< ε of the objectives after the first
  double rho = 10;
  int64_t multiplier_every = 10;
  int64_t steps = 400;  ///< of Adam over all rows
  double lr = 0.02;
  int64_t watch_every = 0;  ///< steps between looks at the angles of the objectives' gradients; 0: none

  /// Throws ValueError for what is out of range, ShapeError unless there is a weight for each of `objectives` (none: all 1).
  void check(size_t objectives) const;
};

/// How the objectives' gradients stood to each other.
struct Conflict {
  std::vector<double> cosine;  ///< [J · J] means over the looks
  std::vector<double> share;   ///< [J · J] shares of looks with a negative cosine
  int64_t looks = 0;
};

struct TrainResult {
  std::vector<double> losses;  ///< of every objective (0 for one of weight 0) in the last step
  Conflict conflict;           ///< of all objectives, those of weight 0 too
};

/// Full-batch training of `module`, which `model` calls. Throws as TrainOptions::check, ValueError for no objectives.
TrainResult train_multi_objective(nn::Module& module, const TensorFunction& model, const Tensor& x, const Tensor& y, const Tensor& a,
                                  const std::vector<Objective>& objectives, const TrainOptions& options = {},
                                  const std::function<void(int64_t step)>& after_step = {});

}  // namespace plumb::methods::rai_inconsistency
