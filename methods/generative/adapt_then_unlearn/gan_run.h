// A trained adversarial pair as a value: weights, their average and both optimisers' moments, from which training can go on several ways.
#pragma once
#include <functional>

#include "models/gan/training.h"
#include "models/optim/adam.h"
#include "models/optim/ema.h"

namespace plumb::methods::adapt_then_unlearn {

struct GanRecipe {
  double lr = 5e-4, beta1 = 0, beta2 = 0.99;
  gan::GanTrainingOptions losses{.r1 = 10, .r1_every = 4};
  double ema = 0.99;  ///< of both networks' averaged weights, which are what is sampled

  /// Adam's options of each network: with the lazy penalty's rates (gan::lazy_rates) where it has one.
  optim::AdamOptions generator() const;
  optim::AdamOptions discriminator() const;
};

template <typename Model>
struct TrainedGan {
  Model pair;
  Model average;
  optim::OptimizerState generator, discriminator;  ///< empty: as at the start
};

/// Copies of a state's tensors, which the optimiser's next step does not change.
optim::OptimizerState copied(const optim::OptimizerState& state);

/// Training that starts from `start`, which it leaves as it is. Stays where it is made.
template <typename Model>
class GanRun {
 public:
  GanRun(const TrainedGan<Model>& start, const GanRecipe& recipe, std::function<Tensor(int64_t step)> real,
         Generator& random = default_generator())
      : pair_(start.pair),
        average_(start.average, {.decay = recipe.ema}),
        generator_(pair_.generator().parameters(), recipe.generator()),
        discriminator_(pair_.discriminator().parameters(), recipe.discriminator()),
        training_(
            pair_, generator_, discriminator_, recipe.losses, [real](int64_t step, int64_t) { return real(step); }, random) {
    if (!start.generator.tensors.empty()) generator_.load_state(copied(start.generator));
    if (!start.discriminator.tensors.empty()) discriminator_.load_state(copied(start.discriminator));
  }
  GanRun(const GanRun&) = delete;
  GanRun& operator=(const GanRun&) = delete;

  /// One step of both networks, and of the average.
  void step(int64_t k) {
    training_.step(k);
    average_.update(pair_);
  }
  void add_generator_loss(std::function<Tensor()> loss) { training_.add_generator_loss(std::move(loss)); }
  Model& pair() { return pair_; }
  Model& average() { return average_.model; }
  optim::Adam& generator_optimizer() { return generator_; }
  TrainedGan<Model> result() const { return {pair_, average_.model, copied(generator_.state()), copied(discriminator_.state())}; }

 private:
  Model pair_;
  optim::Ema<Model> average_;
  optim::Adam generator_, discriminator_;
  gan::GanTraining training_;
};

}  // namespace plumb::methods::adapt_then_unlearn
