// Samplers as policies.
#include "models/diffusion/policy.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/autograd/grad_mode.h"
#include "models/diffusion/latent_consistency.h"
#include "models/diffusion/solver.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::diffusion {
namespace {

void check_levels(const char* who, const std::vector<double>& levels, double least, double terminal_std) {
  auto name = std::string(who) + ": ";
  if (levels.empty()) throw ValueError(name + "the horizon must be at least 1, there are no times");
  for (size_t i = 0; i < levels.size(); ++i) {
    if (!(levels[i] > least))
      throw ValueError(name + "times must lie above " + decimal(least) + ", one is " + decimal(levels[i]));
    if (i > 0 && !(levels[i] < levels[i - 1]))
      throw ValueError(name + "times must descend, " + decimal(levels[i - 1]) + " is followed by " + decimal(levels[i]));
  }
  if (!(terminal_std > 0)) throw ValueError(name + "the last step needs a deviation above 0, it is " + decimal(terminal_std));
}

template <typename F>
Tensor each(const Tensor& x, const std::vector<int64_t>& k, F&& number) {
  std::vector<double> numbers;
  for (int64_t step : k) numbers.push_back(number(step));
  return to(to(from_vector(numbers), x.dtype()), x.device());
}

}  // namespace

Tensor gaussian_log_prob(const Tensor& x, const Tensor& mean, const Tensor& variance) {
  if (x.rank() < 2 || x.shape() != mean.shape())
    throw ShapeError("gaussian_log_prob: takes x and mean [B, ..] of one shape, got " + to_string(x.shape()) + " and " +
                     to_string(mean.shape()));
  if (variance.shape() != Shape{x.size(0)})
    throw ShapeError("gaussian_log_prob: the variance must be [" + std::to_string(x.size(0)) + "], it is " + to_string(variance.shape()));
  return plumb::mean(flatten(square(x - mean), 1), {1}) * (-0.5) / variance - log(variance * (2 * std::numbers::pi)) * 0.5;
}

PolicyStep SamplerPolicy::at(const PolicyNetwork& network, const Tensor& x, const std::vector<int64_t>& k, const Tensor& context) const {
  if (x.rank() < 2 || static_cast<int64_t>(k.size()) != x.size(0))
    throw ShapeError("policy: " + std::to_string(k.size()) + " steps for states " + to_string(x.shape()));
  for (int64_t step : k)
    if (step < 0 || step >= horizon())
      throw IndexError("policy: step " + std::to_string(step) + " is outside [0, " + std::to_string(horizon()) + ")");
  return distribution(network, x, k, context);
}

ConsistencyPolicy::ConsistencyPolicy(std::vector<double> times, double terminal_std, double sigma_min)
    : times_(std::move(times)), terminal_std_(terminal_std), sigma_min_(sigma_min) {
  check_levels("consistency_policy", times_, sigma_min, terminal_std);
}

PolicyStep ConsistencyPolicy::distribution(const PolicyNetwork& network, const Tensor& x, const std::vector<int64_t>& k,
                                           const Tensor& context) const {
  Tensor f = network(x, levels_at(times_, k, x), context);
  auto variance = [&](int64_t step) {
    if (step + 1 == horizon()) return terminal_std_ * terminal_std_;
    double next = times_[static_cast<size_t>(step) + 1];
    return next * next - sigma_min_ * sigma_min_;
  };
  return {f, each(x, k, variance), f};
}

LatentConsistencyPolicy::LatentConsistencyPolicy(VpSchedule schedule, std::vector<int64_t> times)
    : schedule_(std::move(schedule)), times_(std::move(times)) {
  if (times_.empty()) throw ValueError("latent_consistency_policy: the horizon must be at least 1, there are no times");
  for (size_t i = 0; i < times_.size(); ++i) {
    schedule_.beta(times_[i]);  // throws for a time outside the schedule
    if (i > 0 && times_[i] >= times_[i - 1])
      throw ValueError("latent_consistency_policy: times must descend, " + decimal(times_[i - 1]) + " is followed by " +
                       decimal(times_[i]));
  }
}

PolicyStep LatentConsistencyPolicy::distribution(const PolicyNetwork& network, const Tensor& x, const std::vector<int64_t>& k,
                                                 const Tensor& context) const {
  std::vector<int64_t> times;
  for (int64_t step : k) times.push_back(times_[static_cast<size_t>(step)]);
  Tensor t = to(from_vector(times), x.device()), f = latent_consistency(schedule_, Prediction::eps, x, network(x, t, context), t);
  auto alpha_bar = [&](int64_t step) { return schedule_.alpha_bar(times_[static_cast<size_t>(std::min(step + 1, horizon() - 1))]); };
  Tensor kept = each(x, k, [&](int64_t step) { return std::sqrt(alpha_bar(step)); });
  return {per_example(kept, x) * f, each(x, k, [&](int64_t step) { return 1 - alpha_bar(step); }), f};
}

AncestralPolicy::AncestralPolicy(std::vector<double> sigmas, double terminal_std)
    : sigmas_(std::move(sigmas)), terminal_std_(terminal_std) {
  check_levels("ancestral_policy", sigmas_, 0, terminal_std);
}

PolicyStep AncestralPolicy::distribution(const PolicyNetwork& network, const Tensor& x, const std::vector<int64_t>& k,
                                         const Tensor& context) const {
  Tensor d = network(x, levels_at(sigmas_, k, x), context);
  auto last = [&](int64_t step) { return step + 1 == horizon(); };
  auto level = [&](int64_t step) { return sigmas_[static_cast<size_t>(step)]; };
  auto share = [&](int64_t step) { return last(step) ? 0 : std::pow(level(step + 1) / level(step), 2); };
  auto variance = [&](int64_t step) {
    return last(step) ? terminal_std_ * terminal_std_ : level(step + 1) * level(step + 1) * (1 - share(step));
  };
  Tensor a = per_example(each(x, k, share), x);
  return {a * x + (1 - a) * d, each(x, k, variance), d};
}

Trajectories::Steps Trajectories::at(const std::vector<int64_t>& b, const std::vector<int64_t>& k) const {
  if (b.size() != k.size())
    throw ShapeError("trajectories: " + std::to_string(b.size()) + " places and " + std::to_string(k.size()) + " steps");
  std::vector<int64_t> flat;
  for (size_t i = 0; i < b.size(); ++i) {
    if (b[i] < 0 || b[i] >= size() || k[i] < 0 || k[i] >= horizon())
      throw IndexError("trajectories: step " + std::to_string(k[i]) + " of trajectory " + std::to_string(b[i]) + " of " +
                       std::to_string(horizon()) + " x " + std::to_string(size()));
    flat.push_back(k[i] * size() + b[i]);
  }
  Tensor place = to(from_vector(flat), states.device());
  auto rows = [&](const Tensor& x) { return index_select(flatten(x, 0, 1), 0, place); };
  Tensor own = context.defined() ? index_select(context, 0, to(from_vector(b), context.device())) : context;
  return {rows(states), rows(actions), rows(log_probs), own};
}

Trajectories rollout(const SamplerPolicy& policy, const PolicyNetwork& network, const Shape& shape, const Tensor& context,
                     Generator& generator, Device device) {
  if (context.defined() && context.size(0) != shape[0])
    throw ShapeError("rollout: contexts " + to_string(context.shape()) + " for samples " + to_string(shape));
  NoGrad off;
  Tensor x = randn(shape, {.device = device, .generator = &generator}) * policy.start_std(), estimate;
  std::vector<Tensor> states, actions, log_probs;
  for (int64_t k = 0; k < policy.horizon(); ++k) {
    PolicyStep step = policy.at(network, x, std::vector<int64_t>(static_cast<size_t>(shape[0]), k), context);
    states.push_back(x);
    x = step.mean + randn_like(x, &generator) * per_example(sqrt(step.variance), x);
    actions.push_back(x);
    log_probs.push_back(gaussian_log_prob(x, step.mean, step.variance));
    estimate = step.estimate;
  }
  return {stack(states), stack(actions), stack(log_probs), estimate, context};
}

Tensor sample_policy(const SamplerPolicy& policy, const PolicyNetwork& network, const Shape& shape, const Tensor& context,
                     Generator& generator, Device device) {
  return rollout(policy, network, shape, context, generator, device).estimate;
}

}  // namespace plumb::diffusion
