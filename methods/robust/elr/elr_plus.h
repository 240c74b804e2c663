// ELR+: early-learning regularisation with two networks that give each other targets through averaged weights, and mixup.
#pragma once
#include <array>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "methods/robust/elr/elr.h"
#include "models/nn/module.h"
#include "models/optim/ema.h"
#include "models/optim/schedule.h"
#include "models/optim/sgd.h"
#include "ops/pointwise.h"

namespace plumb::methods::elr {

struct ElrPlusOptions {
  double lambda = 3;
  double beta = 0.7;           ///< of the per-sample targets
  double clamp = 1e-4;
  double mixup_alpha = 1;      ///< of Beta(α, α); 0: no mixing
  double ema_decay = 0.997;    ///< of the averaged weights, reached by a ramp over `ema_steps`
  int64_t ema_steps = 40000;
  int64_t ramp_steps = 0;      ///< the regulariser's weight rises by exp(−5 (1 − s/S)²) over as many steps; 0: full at once
  bool target_weighted = false;  ///< the labels' targets times the networks', renormalised (CIFAR-100)
};

/// How a batch is mixed: x̃_i = l x_i + (1 − l) x_π(i).
struct Mixing {
  double share = 1;     ///< l ≥ ½
  Tensor permutation;   ///< π, i64 [B]
};
/// l = max(λ, 1 − λ), λ ~ Beta(α, α), and a random π. α = 0 gives l = 1. Throws ValueError for α < 0.
Mixing draw_mixing(int64_t batch, double alpha, Generator& generator);
/// share · x + (1 − share) · x[π] along the first dimension.
Tensor mix(const Tensor& x, const Mixing& mixing);

/// −mean Σ_c ỹ_c log softmax(z)_c + weight · mean log(1 − ⟨p, t̃⟩), logits z [B, C]; mixed one-hot labels ỹ and mixed targets t̃ [B, C],
/// constants.
Tensor elr_plus_loss(const Tensor& logits, const Tensor& mixed_labels, const Tensor& mixed_targets, double weight, double clamp = 1e-4);

/// Two networks, each with an average of its weights, targets and an optimiser of its own. Train network 0 for an epoch, then network 1,
/// and so on; predictions are the mean of their logits. Model: a module from inputs [B, ..] to logits [B, C].
template <typename Model>
class ElrPlusTrainer {
 public:
  /// Starts from two networks that should differ in their initial weights. `samples`: training examples.
  ElrPlusTrainer(const Model& first, const Model& second, int64_t samples, int64_t classes, ElrPlusOptions options, optim::SgdOptions sgd)
      : options_(options),
        classes_(classes),
        sides_{Side(first, samples, classes, options, sgd), Side(second, samples, classes, options, sgd)} {}

  /// One step of network `which` (0 or 1) on inputs x [B, ..], labels and index i64 [B]. Returns the loss.
  /// Its target is the OTHER network's averaged weights on the unmixed inputs; targets are mixed as the inputs are.
  double step(int which, const Tensor& x, const Tensor& labels, const Tensor& index, Generator& generator);

  /// The mean of the two networks' logits, in evaluation mode.
  Tensor operator()(const Tensor& x);
  Model& network(int which) { return sides_[static_cast<size_t>(which)].network; }
  const Model& average(int which) const { return sides_[static_cast<size_t>(which)].average; }
  const PerSampleEma& targets(int which) const { return sides_[static_cast<size_t>(which)].targets; }
  optim::SGD& optimizer(int which) { return sides_[static_cast<size_t>(which)].sgd; }

 private:
  struct Side {
    Side(const Model& from, int64_t samples, int64_t classes, const ElrPlusOptions& o, const optim::SgdOptions& options)
        : network(from), average(from), targets(samples, classes, o.beta), sgd(network.parameters(), options) {
      average.requires_grad_(false);
      average.train();  // batch norm uses the batch's statistics and keeps running ones of its own
    }
    Model network, average;
    PerSampleEma targets;
    optim::SGD sgd;
    int64_t steps = 0;
  };
  ElrPlusOptions options_;
  int64_t classes_;
  std::array<Side, 2> sides_;
};

/// one-hot labels times targets, rows renormalised to sum 1; and [B, C] f32 one-hot rows.
Tensor weighted_labels(const Tensor& mixed_labels, const Tensor& mixed_targets);
Tensor one_hot_rows(const Tensor& labels, int64_t classes);

template <typename Model>
double ElrPlusTrainer<Model>::step(int which, const Tensor& x, const Tensor& labels, const Tensor& index, Generator& generator) {
  Side& own = sides_[static_cast<size_t>(which)];
  Side& other = sides_[static_cast<size_t>(1 - which)];
  ++own.steps;
  Mixing mixing = draw_mixing(x.size(0), options_.mixup_alpha, generator);
  Tensor mixed_labels = mix(one_hot_rows(labels, classes_), mixing), mixed_targets;
  {
    NoGrad no_grad;
    mixed_targets = mix(own.targets.update(index, clamped_softmax(other.average(x), 0)), mixing);
  }
  if (options_.target_weighted) mixed_labels = weighted_labels(mixed_labels, mixed_targets);
  double ramp = optim::sigmoid_rampup(options_.ramp_steps)(own.steps);
  Tensor loss = elr_plus_loss(own.network(mix(x, mixing)), mixed_labels, mixed_targets, ramp * options_.lambda, options_.clamp);
  own.sgd.zero_grad();
  loss.backward();
  own.sgd.step();
  double decay = options_.ema_decay * optim::sigmoid_rampup(options_.ema_steps)(own.steps + 1);
  optim::ema_update(own.average, own.network, decay, optim::EmaBuffers::keep);
  return loss.item();
}

template <typename Model>
Tensor ElrPlusTrainer<Model>::operator()(const Tensor& x) {
  NoGrad no_grad;
  Tensor sum;
  for (Side& side : sides_) {
    bool training = side.network.training();
    side.network.eval();
    Tensor logits = side.network(x);
    side.network.train(training);
    sum = sum.defined() ? sum + logits : logits;
  }
  return 0.5 * sum;
}

}  // namespace plumb::methods::elr
