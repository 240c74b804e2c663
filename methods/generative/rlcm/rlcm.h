// Reinforcement learning for consistency models (RLCM; Oertell et al. 2024): few-step sampling as a short decision process, trained for any
// reward by a clipped policy gradient.
#pragma once
#include <functional>
#include <vector>

#include "methods/common/policy_gradient.h"
#include "models/diffusion/policy.h"
#include "models/optim/optimizer.h"

namespace plumb::methods::rlcm {

/// One number a sample, more is better: samples [B, ..] as the policy makes them, context [B, ..] or undefined. Needs no derivative.
using SampleReward = std::function<std::vector<double>(const Tensor& samples, const Tensor& context)>;

enum class Objective : uint8_t {
  ppo,    ///< the clipped loss of every step
  rebel,  ///< squared differences over pairs of trajectories of one context, which share their log-ratios' sum
};

struct PolicyGradientOptions {
  Objective objective = Objective::ppo;
  double clip = 1e-4;                   ///< ε of PPO: small, since log-probabilities are means over all numbers
  double rebel_beta = 1;                ///< β of REBEL
  double advantage_clip = 10;           ///< of PPO
  double max_norm = 5;                  ///< of the gradient
  int64_t buffer = 32, min_count = 16;  ///< of the statistics of a key
  int64_t minibatch = 0;                ///< trajectories a backward pass; 0: all
  int64_t accumulation = 1;             ///< minibatches an optimiser step, each with all its H steps
  int64_t inner = 1;                    ///< passes over the trajectories
  bool step_each_time = false;          ///< an optimiser step after every one of a minibatch's H steps (PPO alone)
  /// Throws ValueError for numbers out of range.
  void check() const;
};

/// What an update did.
struct UpdateReport {
  double reward = 0;    ///< mean of the rewarded samples
  double clipped = 0;   ///< share of ratios outside [1 − ε, 1 + ε] when their loss was taken
  double ratio = 0;     ///< mean |ρ − 1|
  int64_t calls = 0;    ///< evaluations of the network, one for each row: rollouts and recomputation
  int64_t queries = 0;  ///< rewards asked for
  int64_t optimizer_steps = 0;
};

/// One update: roll B trajectories out, ask for their rewards, normalise by key, and descend on the loss of recomputed log-probabilities.
/// The order of trajectories is shuffled, and the H steps of each are permuted on their own.
///   PolicyGradientTrainer trainer(policy, network, adam, reward, {.clip = 1e-2});
///   for (…) { adam.set_lr_scale(schedule(k));  trainer.update({256, 64}); }
/// The policy, the network's parameters and the optimiser must outlive it. With H = 1 the only noise is the last step's.
class PolicyGradientTrainer {
 public:
  /// Throws ValueError as PolicyGradientOptions::check.
  PolicyGradientTrainer(const diffusion::SamplerPolicy& policy, diffusion::PolicyNetwork network, optim::Optimizer& optimizer,
                        SampleReward reward, const PolicyGradientOptions& options = {});

  /// Samples of `shape` [B, ..]; context [B, ..] (undefined: none); keys, one a sample (empty: one for all), name what it was asked for.
  /// For REBEL the second half of the batch has the contexts of the first. Throws ShapeError for another number of keys or rewards,
  /// ValueError for a reward that is not finite, an odd batch of REBEL, or halves that differ in their keys.
  UpdateReport update(const Shape& shape, const Tensor& context = {}, std::vector<int64_t> keys = {},
                      Generator& generator = default_generator());

 private:
  struct Batch {
    diffusion::Trajectories paths;
    std::vector<double> advantages;
  };
  Batch collect(const Shape& shape, const Tensor& context, const std::vector<int64_t>& keys, Generator& generator, UpdateReport& report);
  Tensor log_prob(const diffusion::Trajectories::Steps& steps, const std::vector<int64_t>& k) const;
  void ppo_pass(const Batch& batch, Generator& generator, UpdateReport& report);
  void rebel_pass(const Batch& batch, Generator& generator, UpdateReport& report);
  void step(UpdateReport& report);

  const diffusion::SamplerPolicy& policy_;
  diffusion::PolicyNetwork network_;
  optim::Optimizer& optimizer_;
  SampleReward reward_;
  PolicyGradientOptions options_;
  PerKeyAdvantage advantage_;
};

}  // namespace plumb::methods::rlcm
