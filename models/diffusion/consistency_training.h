// Training a consistency model: its recipe, and what happens before and after an optimiser's step.
#pragma once
#include <functional>
#include <optional>

#include "models/diffusion/consistency.h"
#include "models/optim/ema.h"
#include "ops/pointwise.h"

namespace plumb::diffusion {

/// Whose answer the student is drawn to: its own (iCT; still without a gradient), or that of an average of its weights.
enum class ConsistencyTarget : uint8_t { student, average };

struct ConsistencyRecipe {
  PairOptions pairs = {};
  ConsistencyMetric metric = ConsistencyMetric::pseudo_huber;
  double c = 0;                                            ///< of the metric; 0: pseudo_huber_scale of the examples
  std::function<double(int64_t levels)> c_of_levels = {};  ///< c for a grid of so many levels, in the place of a constant
  double low_noise_share = 0, low_noise_factor = 0;        ///< factor · low_noise_losses at this share of the grid is added
  ConsistencyTarget target = ConsistencyTarget::student;
  int64_t average_from = 0;          ///< of ConsistencyTarget::average: the step before which the student is its own target all the same
  std::optional<double> decay = {};  ///< of the average, in [0, 1]; without one grid_ema_decay(N(k), ema_s0, ema_mu0)
  int64_t ema_s0 = 2;
  double ema_mu0 = 0.9;
  void check() const { pairs.check(); }
};

/// For a Model that copies as a module does and answers (x [B, ..], c_noise [B]) → [B, ..]:
///   ConsistencyTraining<Model> training(student, recipe);
///   …  loss = mean(training.losses(k, batch));  loss.backward();  adam.step();  training.update(k);
/// The student is used, not copied, and must outlive it.
template <typename Model>
class ConsistencyTraining {
 public:
  /// Throws ValueError as PairOptions::check.
  explicit ConsistencyTraining(Model& student, ConsistencyRecipe recipe = {}, double sigma_data = 0.5)
      : student_(student),
        recipe_(recipe),
        sigma_data_(sigma_data),
        pairs_(recipe.pairs),
        precondition_(sigma_data, recipe.pairs.sigma_min) {
    if (recipe.target == ConsistencyTarget::average) average_.emplace(student);
  }
  /// The same with an average that the caller keeps (in a module that is checkpointed, for example), starts as the student and outlives
  /// this. One that the recipe does not ask for is left alone.
  ConsistencyTraining(Model& student, Model& average, ConsistencyRecipe recipe, double sigma_data = 0.5)
      : student_(student),
        recipe_(recipe),
        sigma_data_(sigma_data),
        pairs_(recipe.pairs),
        precondition_(sigma_data, recipe.pairs.sigma_min) {
    if (recipe.target == ConsistencyTarget::average) kept_ = &average;
  }

  /// f(x, σ) with a boundary at σ_min, of the student, of the target, or of any other weights. The model must outlive it.
  Denoiser denoiser(const Model& model) const {
    return [this, &model](const Tensor& x, const Tensor& sigma) {
      return precondition_.denoise([&](const Tensor& y, const Tensor& noise) { return model(y, noise); }, x, sigma);
    };
  }
  /// Whose answer is the target of step k.
  const Model& target(int64_t step = INT64_MAX) const {
    if (step < recipe_.average_from) return student_;
    return kept_ ? *kept_ : average_ ? average_->model : student_;
  }

  /// Weighted distances of step k on a batch of clean data, [B]: consistency training.
  Tensor losses(int64_t step, const Tensor& clean, Generator& generator = default_generator()) {
    return losses(pairs_.draw(step, clean, generator));
  }
  /// The same with the lower point where a teacher's ODE leads: consistency distillation.
  Tensor distillation_losses(int64_t step, const Tensor& clean, const Denoiser& teacher, Solver solver = Solver::heun,
                             Generator& generator = default_generator()) {
    return losses(distilled(pairs_.draw(step, clean, generator), teacher, solver));
  }
  Tensor losses(const NoisePair& pair) const {
    auto [u, v] = consistency_answers(pair, denoiser(student_), denoiser(target(pair.step)));
    Tensor losses = pair.weight * consistency_distances(recipe_.metric, u, v, c(pair));
    if (recipe_.low_noise_factor == 0) return losses;
    return losses + recipe_.low_noise_factor * low_noise_losses(pair, u, recipe_.low_noise_share, sigma_data_);
  }
  /// The c of a pair's distance.
  double c(const NoisePair& pair) const {
    if (recipe_.c_of_levels) return recipe_.c_of_levels(pair.levels);
    return recipe_.c != 0 ? recipe_.c : pseudo_huber_scale(pair.x_high.numel() / pair.x_high.size(0));
  }
  /// The pairs of step k, for those who change them before asking for losses.
  NoisePair draw(int64_t step, const Tensor& clean, Generator& generator = default_generator()) {
    return pairs_.draw(step, clean, generator);
  }

  /// To be called after the optimiser's step number k: the average follows.
  void update(int64_t step) {
    if (average_) average_->update(student_, decay(step));
    if (kept_) optim::ema_update(*kept_, student_, decay(step));
  }
  /// μ(k); 0 where the student is its own target.
  double decay(int64_t step) const {
    if (!average_ && !kept_) return 0;
    return recipe_.decay ? *recipe_.decay : grid_ema_decay(pairs_.levels(step), recipe_.ema_s0, recipe_.ema_mu0);
  }
  int64_t levels(int64_t step) const { return pairs_.levels(step); }

 private:
  Model& student_;
  ConsistencyRecipe recipe_;
  double sigma_data_;
  PairSampler pairs_;
  ConsistencyPrecondition precondition_;
  std::optional<optim::Ema<Model>> average_;
  Model* kept_ = nullptr;
};

}  // namespace plumb::diffusion
