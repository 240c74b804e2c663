// The update: rollouts, rewards, and passes over recomputed log-probabilities.
#include "methods/generative/rlcm/rlcm.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "models/optim/clip.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::rlcm {

using namespace diffusion;

namespace {

std::vector<int64_t> shuffled(int64_t n, Generator& generator) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[generator.next_below(i)]);
  return order;
}

Tensor chosen(const std::vector<double>& values, const std::vector<int64_t>& places, const Tensor& like) {
  std::vector<double> some;
  for (int64_t b : places) some.push_back(values[static_cast<size_t>(b)]);
  return to(to(from_vector(some), like.dtype()), like.device());
}

}  // namespace

void PolicyGradientOptions::check() const {
  auto require = [](bool holds, const std::string& what) {
    if (!holds) throw ValueError("policy_gradient: " + what);
  };
  require(clip > 0, "clip must be positive, it is " + decimal(clip));
  require(rebel_beta > 0, "rebel_beta must be positive, it is " + decimal(rebel_beta));
  require(advantage_clip > 0 && max_norm > 0,
          "advantage_clip and max_norm must be positive, they are " + decimal(advantage_clip) + " and " + decimal(max_norm));
  require(minibatch >= 0 && accumulation >= 1 && inner >= 1, "needs minibatch >= 0, accumulation >= 1 and inner >= 1, got " +
                                                                 std::to_string(minibatch) + ", " + std::to_string(accumulation) + " and " +
                                                                 std::to_string(inner));
  require(!step_each_time || (objective == Objective::ppo && accumulation == 1), "step_each_time is for PPO without accumulation");
}

PolicyGradientTrainer::PolicyGradientTrainer(const SamplerPolicy& policy, PolicyNetwork network, optim::Optimizer& optimizer,
                                             SampleReward reward, const PolicyGradientOptions& options)
    : policy_(policy),
      network_(std::move(network)),
      optimizer_(optimizer),
      reward_(std::move(reward)),
      options_((options.check(), options)),
      advantage_(options.buffer, options.min_count) {}

PolicyGradientTrainer::Batch PolicyGradientTrainer::collect(const Shape& shape, const Tensor& context, const std::vector<int64_t>& keys,
                                                            Generator& generator, UpdateReport& report) {
  Batch batch{rollout(policy_, network_, shape, context, generator), {}};
  Tensor rewarded = policy_.rewards_action() ? select(batch.paths.actions, 0, policy_.horizon() - 1) : batch.paths.estimate;
  std::vector<double> rewards = reward_(rewarded, context);
  if (static_cast<int64_t>(rewards.size()) != shape[0])
    throw ShapeError("policy_gradient: the reward gave " + std::to_string(rewards.size()) + " numbers for " + std::to_string(shape[0]) +
                     " samples");
  batch.advantages = advantage_(rewards, keys, options_.objective == Objective::rebel ? INFINITY : options_.advantage_clip);
  report.reward = std::accumulate(rewards.begin(), rewards.end(), 0.0) / static_cast<double>(rewards.size());
  report.queries = shape[0];
  report.calls = shape[0] * policy_.horizon();
  return batch;
}

Tensor PolicyGradientTrainer::log_prob(const Trajectories::Steps& steps, const std::vector<int64_t>& k) const {
  PolicyStep now = policy_.at(network_, steps.state, k, steps.context);
  return gaussian_log_prob(steps.action, now.mean, now.variance);
}

void PolicyGradientTrainer::step(UpdateReport& report) {
  optim::clip_grad_norm(optimizer_.parameters(), options_.max_norm);
  optimizer_.step();
  optimizer_.zero_grad();
  ++report.optimizer_steps;
}

void PolicyGradientTrainer::ppo_pass(const Batch& batch, Generator& generator, UpdateReport& report) {
  int64_t size = batch.paths.size(), horizon = policy_.horizon(), part = options_.minibatch ? std::min(options_.minibatch, size) : size;
  std::vector<int64_t> order = shuffled(size, generator);
  std::vector<std::vector<int64_t>> steps;  // of each trajectory, its own permutation of 0 … H − 1
  for (int64_t b = 0; b < size; ++b) steps.push_back(shuffled(horizon, generator));
  double share = options_.step_each_time ? 1 : 1 / static_cast<double>(horizon * options_.accumulation);
  int64_t waiting = 0;
  optimizer_.zero_grad();
  for (int64_t begin = 0; begin < size; begin += part) {
    std::vector<int64_t> places(order.begin() + begin, order.begin() + std::min(begin + part, size));
    Tensor advantages = chosen(batch.advantages, places, batch.paths.states);
    for (int64_t j = 0; j < horizon; ++j) {
      std::vector<int64_t> k;
      for (int64_t b : places) k.push_back(steps[static_cast<size_t>(b)][static_cast<size_t>(j)]);
      Trajectories::Steps now = batch.paths.at(places, k);
      Tensor recomputed = log_prob(now, k);
      (ppo_clip_loss(recomputed, now.log_prob, advantages, options_.clip) * share).backward();
      NoGrad off;
      Tensor away = abs(exp(recomputed - now.log_prob) - 1);
      double weight = static_cast<double>(places.size()) / static_cast<double>(size * horizon * options_.inner);
      report.ratio += weight * mean(away).item();
      report.clipped += weight * mean(to(away > options_.clip, f64)).item();
      report.calls += static_cast<int64_t>(places.size());
      if (options_.step_each_time) step(report);
    }
    if (!options_.step_each_time && ++waiting == options_.accumulation) step(report), waiting = 0;
  }
  if (waiting > 0) step(report);
}

void PolicyGradientTrainer::rebel_pass(const Batch& batch, Generator& generator, UpdateReport& report) {
  int64_t pairs = batch.paths.size() / 2, horizon = policy_.horizon(),
          part = options_.minibatch ? std::clamp<int64_t>(options_.minibatch / 2, 1, pairs) : pairs;
  std::vector<int64_t> order = shuffled(pairs, generator);
  int64_t waiting = 0;
  optimizer_.zero_grad();
  for (int64_t begin = 0; begin < pairs; begin += part) {
    std::vector<int64_t> places(order.begin() + begin, order.begin() + std::min(begin + part, pairs));
    auto n = static_cast<int64_t>(places.size());
    for (int64_t i = 0; i < n; ++i) places.push_back(places[static_cast<size_t>(i)] + pairs);
    Tensor advantages = chosen(batch.advantages, places, batch.paths.states), ratio;
    for (int64_t time = 0; time < horizon; ++time) {
      std::vector<int64_t> k(places.size(), time);
      Trajectories::Steps now = batch.paths.at(places, k);
      Tensor change = log_prob(now, k) - now.log_prob;
      ratio = ratio.defined() ? ratio + change : change;
      report.calls += 2 * n;
    }
    auto half = [&](const Tensor& x, int64_t which) { return narrow(x, 0, which * n, n); };
    Tensor loss = rebel_loss(half(ratio, 0), half(ratio, 1), half(advantages, 0), half(advantages, 1), options_.rebel_beta);
    (loss * (1 / static_cast<double>(options_.accumulation))).backward();
    report.ratio += mean(abs(exp(ratio.detach()) - 1)).item() * static_cast<double>(n) / static_cast<double>(pairs * options_.inner);
    if (++waiting == options_.accumulation) step(report), waiting = 0;
  }
  if (waiting > 0) step(report);
}

UpdateReport PolicyGradientTrainer::update(const Shape& shape, const Tensor& context, std::vector<int64_t> keys, Generator& generator) {
  if (shape.rank() < 2 || shape[0] < 1) throw ShapeError("policy_gradient: samples are [B, ..], not " + to_string(shape));
  if (keys.empty()) keys.assign(static_cast<size_t>(shape[0]), 0);
  if (static_cast<int64_t>(keys.size()) != shape[0])
    throw ShapeError("policy_gradient: " + std::to_string(keys.size()) + " keys for a batch of " + std::to_string(shape[0]));
  bool rebel = options_.objective == Objective::rebel;
  if (rebel && (shape[0] % 2 != 0 || !std::equal(keys.begin(), keys.begin() + shape[0] / 2, keys.begin() + shape[0] / 2)))
    throw ValueError("policy_gradient: REBEL takes pairs: the second half of the batch must have the keys of the first");
  UpdateReport report;
  Batch batch = collect(shape, context, keys, generator, report);
  for (int64_t i = 0; i < options_.inner; ++i) rebel ? rebel_pass(batch, generator, report) : ppo_pass(batch, generator, report);
  return report;
}

}  // namespace plumb::methods::rlcm
