// SCott (Liu et al., AAAI 2025): consistency distillation along a teacher's SDE instead of its ODE, with a discriminator beside it.
#pragma once
#include <functional>
#include <optional>

#include "models/diffusion/latent_consistency.h"
#include "models/optim/ema.h"

namespace plumb::methods::scott {

/// Dis(x [B, ..], σ [B]) → logits [B]
using Discriminator = std::function<Tensor(const Tensor& x, const Tensor& sigma)>;

struct Options {
  std::vector<double> levels;  ///< the solver's grid, ascending: Karras', or diffusion::lcm_levels of a VP schedule
  int64_t interval = 3;        ///< intervals of the grid from a student's level to its target's
  int64_t sub_steps = 3;       ///< h: solver steps between them; 1 and η = 0: a latent consistency model
  diffusion::NoiseRule rule = diffusion::NoiseRule::eta(0.3);  ///< of the teacher's steps
  diffusion::ConsistencyMetric metric = diffusion::ConsistencyMetric::mean_square;
  double c = 0;              ///< of the metric
  double decay = 0.95;       ///< of the target's weights
  double adversarial = 0.4;  ///< λ, where there is a discriminator
  /// Throws ValueError for a grid that does not ascend, h that does not divide the interval, λ < 0 or a decay outside [0, 1].
  void check() const;
  diffusion::PairOptions pairs() const;
};

struct Objective {
  Tensor loss;                              ///< L_CD + λ L_adv, a scalar
  Tensor estimate;                          ///< the student's answer, [B, ..]: the discriminator's fake
  double consistency = 0, adversarial = 0;  ///< the two losses
};
/// L_CD = E d(f(x_high), sg f⁻(x̂_low)), x̂_low where h noisy steps of the teacher lead (diffusion::distilled), L_adv = −E Dis(f(x_high)),
/// of one call of the student. Since the target is random, the squared error learns its mean: much noise blurs, which is what L_adv is for.
Objective objective(const diffusion::NoisePair& pair, const diffusion::Denoiser& student, const diffusion::Denoiser& target,
                    const Options& options, const Discriminator& discriminator = {});
/// E max(0, 1 − Dis(x)) + E max(0, 1 + Dis(sg estimate)), both told the student's levels.
Tensor discriminator_objective(const Discriminator& discriminator, const Tensor& clean, const Tensor& estimate, const Tensor& sigma);

/// For a Model that copies as a module does. `denoiser_of` reads it as a consistency model: with ConsistencyPrecondition on a VE grid, or
/// with LcmPrecondition (and a batch's condition and guidance) on a VP one.
///   Distillation<Model> distillation(student, denoiser_of, {.levels = karras_sigmas(125, …, GridOrder::ascending)});
///   …  auto at = distillation.step(batch, teacher);  at.loss.backward();  adam.step();  distillation.update();
/// The student is used, not copied, and must outlive it.
template <typename Model>
class Distillation {
 public:
  using DenoiserOf = std::function<diffusion::Denoiser(const Model& model)>;

  Distillation(Model& student, DenoiserOf denoiser_of, Options options)
      : student_(student),
        denoiser_of_(std::move(denoiser_of)),
        options_(std::move(options)),
        pairs_(options_.pairs()),
        target_(student, {.decay = options_.decay}) {}

  /// A batch's pairs, the lower end along the teacher's SDE. The noise of all comes from `generator`.
  diffusion::NoisePair draw(const Tensor& clean, const diffusion::Denoiser& teacher, Generator& generator = default_generator()) {
    return diffusion::distilled(pairs_.draw(0, clean, generator), teacher, options_.rule, options_.sub_steps, generator);
  }
  Objective objective(const diffusion::NoisePair& pair, const Discriminator& discriminator = {}) const {
    return scott::objective(pair, denoiser_of_(student_), denoiser_of_(target_.model), options_, discriminator);
  }
  /// To be called after each step of the optimiser: the target follows.
  void update() { target_.update(student_); }
  const Model& target() const { return target_.model; }

 private:
  Model& student_;
  DenoiserOf denoiser_of_;
  Options options_;
  diffusion::PairSampler pairs_;
  optim::Ema<Model> target_;
};

}  // namespace plumb::methods::scott
