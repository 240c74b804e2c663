// One step of adversarial training: the discriminator, then the generator, each with its optimiser, and their penalties every few steps.
#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "models/gan/gan.h"
#include "models/gan/losses.h"
#include "models/optim/optimizer.h"

namespace plumb::gan {

struct GanTrainingOptions {
  GanLoss loss = GanLoss::non_saturating;
  double r1 = 0;                 ///< γ of (γ/2) E ‖∂D(x)/∂x‖² on real images; 0: none
  int64_t r1_every = 16;         ///< steps; the penalty counts so many times as much (Karras et al. 2020, section 3.1)
  double gradient_penalty = 0;   ///< λ of Gulrajani et al.'s penalty, at every step; 0: none
  double path_length = 0;        ///< weight of (length − running mean)²; 0: none
  int64_t path_every = 4;        ///< steps, as r1_every
  int64_t critic_steps = 1;      ///< of the discriminator, for each of the generator
  double clip = 0;               ///< each gradient is scaled to at most this norm; 0: not

  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// Holds references: the pair and its optimisers must stay where they are. Its state is all theirs (path_length_mean is a buffer of the
/// pair), and what a step does depends on its number, so that a resumed run needs nothing else.
class GanTraining {
 public:
  /// real(step, i): the batch [B, C, H, W] in [−1, 1] of the i-th discriminator step of a step. `random` is drawn from: by default the
  /// thread's own generator.
  GanTraining(Gan& gan, optim::Optimizer& generator, optim::Optimizer& discriminator, const GanTrainingOptions& options,
              std::function<Tensor(int64_t step, int64_t i)> real, Generator& random = default_generator());
  /// "train_loss" is the generator's; "train_discriminator_loss", the mean logits of real and generated images, and the penalties where the
  /// step has them.
  std::vector<std::pair<std::string, double>> step(int64_t step);
  /// Adds a scalar to the generator's loss of every step from now on: a penalty on its parameters, for example.
  void add_generator_loss(std::function<Tensor()> loss) { generator_losses_.push_back(std::move(loss)); }

 private:
  using Measures = std::vector<std::pair<std::string, double>>;
  Tensor latents(int64_t count) const;
  double update(optim::Optimizer& optimizer, const Tensor& loss);
  double discriminate(const Tensor& real, Measures& measures);
  double penalise_slopes(const Tensor& real);
  double generate(int64_t batch);
  double penalise_paths(int64_t batch);

  Gan& gan_;
  optim::Optimizer &generator_, &discriminator_;
  GanTrainingOptions options_;
  std::function<Tensor(int64_t, int64_t)> real_;
  Generator& random_;
  std::vector<std::function<Tensor()>> generator_losses_;
};

/// The learning rate and decays that make an Adam, which takes one more step in every `every`, move as fast as without it: lr·c, β^c with
/// c = every / (every + 1) (Karras et al. 2020, appendix B).
struct LazyRates {
  double lr, beta1, beta2;
};
LazyRates lazy_rates(const LazyRates& rates, int64_t every);

}  // namespace plumb::gan
