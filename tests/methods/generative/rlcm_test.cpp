// RLCM: the first gradient is REINFORCE's, constant rewards change nothing, a reward is learned, and the experiment.
#include "methods/generative/rlcm/rlcm.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "methods/runner.h"
#include "models/diffusion/time_mlp.h"
#include "models/optim/adam.h"
#include "models/optim/sgd.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/measured.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::diffusion;

namespace plumb::methods::rlcm {
Experiment experiment();
}

namespace rlcm = methods::rlcm;
using rlcm::Objective;
using rlcm::PolicyGradientTrainer;

namespace {

// f(x) = a x + b of two parameters.
struct Line {
  Tensor a, b;
  explicit Line(DType dtype = f64) : a(tensor({0.01}, dtype).requires_grad_()), b(tensor({0.3}, dtype).requires_grad_()) {}
  PolicyNetwork network() const {
    return [*this](const Tensor& x, const Tensor&, const Tensor&) { return a * x + b; };
  }
};

rlcm::SampleReward brightness() {
  return [](const Tensor& x, const Tensor&) { return to_vector(mean(x, {1})); };
}

}  // namespace

TEST_CASE("rlcm: right after a rollout every ratio is 1 and the gradient is REINFORCE's, as differences find it") {
  Line line;
  ConsistencyPolicy policy({8, 1}, 0.1);
  Generator draws(3);
  Trajectories paths = rollout(policy, Line(f32).network(), {6, 2}, {}, draws);
  Trajectories as_f64{to(paths.states, f64), to(paths.actions, f64), {}, {}, {}};
  std::vector<double> advantages{0.5, -1, 0.2, 1.5, -0.7, -0.5};
  Tensor advantage = from_vector(advantages);
  std::vector<int64_t> places{0, 1, 2, 3, 4, 5}, k{0, 1, 0, 1, 1, 0};
  as_f64.log_probs = zeros({2, 6}, f64);
  Trajectories::Steps now = as_f64.at(places, k);
  auto log_prob = [&](const Line& at) {
    PolicyStep step = policy.at(at.network(), now.state, k);
    return gaussian_log_prob(now.action, step.mean, step.variance);
  };
  Tensor current = log_prob(line);
  Tensor loss = methods::ppo_clip_loss(current, current.detach(), advantage, 1e-4);
  loss.backward();
  CHECK(loss.item() == doctest::Approx(-mean(advantage).item()).epsilon(1e-12));  // ρ = 1 exactly
  auto reinforce = [&](double a, double b) {
    NoGrad off;
    Line moved;
    copy_(moved.a, tensor({a}, f64));
    copy_(moved.b, tensor({b}, f64));
    return -mean(advantage * log_prob(moved)).item();
  };
  double h = 1e-5, a = line.a.item(), b = line.b.item();
  CHECK(line.a.grad().item() == doctest::Approx((reinforce(a + h, b) - reinforce(a - h, b)) / (2 * h)).epsilon(1e-6));
  CHECK(line.b.grad().item() == doctest::Approx((reinforce(a, b + h) - reinforce(a, b - h)) / (2 * h)).epsilon(1e-6));
}

TEST_CASE("rlcm: a reward that is always the same moves nothing") {
  for (Objective objective : {Objective::ppo, Objective::rebel}) {
    Line line(f32);
    ConsistencyPolicy policy({80, 1});
    optim::Adam adam({line.a, line.b}, {.lr = 0.1});
    PolicyGradientTrainer trainer(policy, line.network(), adam,
                                  [](const Tensor& x, const Tensor&) { return std::vector<double>(static_cast<size_t>(x.size(0)), 0.7); },
                                  {.objective = objective});
    rlcm::UpdateReport report = trainer.update({8, 3});
    CHECK(report.reward == doctest::Approx(0.7));
    CHECK(report.optimizer_steps == 1);
    CHECK(line.a.item() == doctest::Approx(0.01).epsilon(1e-6));
    CHECK(line.b.item() == doctest::Approx(0.3).epsilon(1e-6));
  }
}

TEST_CASE("rlcm: an update counts its calls and steps, and no ratio has moved before the first step") {
  ConsistencyPolicy policy({80, 5, 1});
  auto report_of = [&](const rlcm::PolicyGradientOptions& options) {
    manual_seed(2);
    Line line(f32);
    optim::Adam adam({line.a, line.b}, {.lr = 1e-3});
    return PolicyGradientTrainer(policy, line.network(), adam, brightness(), options).update({12, 2});
  };
  rlcm::UpdateReport whole = report_of({});
  CHECK(whole.calls == 12 * 3 * 2);
  CHECK(whole.queries == 12);
  CHECK(whole.optimizer_steps == 1);
  CHECK(whole.ratio < 1e-6);
  CHECK(whole.clipped == 0);
  CHECK(report_of({.minibatch = 5}).optimizer_steps == 3);
  CHECK(report_of({.minibatch = 4, .accumulation = 2}).optimizer_steps == 2);
  CHECK(report_of({.inner = 2}).optimizer_steps == 2);
  rlcm::UpdateReport each = report_of({.step_each_time = true});
  CHECK(each.optimizer_steps == 3);
  CHECK(each.ratio > 1e-6);
  CHECK(report_of({.objective = Objective::rebel, .minibatch = 6}).optimizer_steps == 2);
}

TEST_CASE("rlcm: accumulated minibatches make the gradient of the whole batch") {
  ConsistencyPolicy policy({80, 1});
  auto after = [&](int64_t minibatch, int64_t accumulation) {
    manual_seed(9);
    Line line(f32);
    optim::SGD sgd({line.a, line.b}, {.lr = 0.1});
    PolicyGradientTrainer(policy, line.network(), sgd, brightness(),
                          {.max_norm = 1e6, .minibatch = minibatch, .accumulation = accumulation})
        .update({8, 2});
    return line.b.item();
  };
  CHECK(after(0, 1) != doctest::Approx(0.3).epsilon(1e-7));
  CHECK(after(4, 2) == doctest::Approx(after(0, 1)).epsilon(1e-5));
}

TEST_CASE("rlcm: PPO and REBEL learn to make what is rewarded, for each key what that key asks for") {
  for (Objective objective : {Objective::ppo, Objective::rebel}) {
    manual_seed(4);
    TimeMlp net({.features = 2, .hidden = {16}, .condition = 2});
    PolicyNetwork network = [&](const Tensor& x, const Tensor& sigma, const Tensor& c) { return net(x * 0.01, log(sigma) * 0.25, {}, c); };
    ConsistencyPolicy policy({80, 1}, 0.3);
    optim::Adam adam(net.parameters(), {.lr = 5e-3});
    // key 0 wants bright samples, key 1 dark ones whose rewards are far larger
    rlcm::SampleReward reward = [](const Tensor& x, const Tensor& c) {
      return to_vector(mean(x, {1}) * (select(c, 1, 0) - select(c, 1, 1) * 50.0));
    };
    PolicyGradientTrainer trainer(policy, network, adam, reward, {.objective = objective, .clip = 0.2, .buffer = 64, .min_count = 16});
    std::vector<int64_t> keys(64);
    std::vector<float> one_hot(128, 0);
    for (size_t i = 0; i < 64; ++i) keys[i] = static_cast<int64_t>(i % 2), one_hot[2 * i + i % 2] = 1;
    Tensor context = from_vector(one_hot, {64, 2});
    for (int k = 0; k < 60; ++k) trainer.update({64, 2}, context, keys);
    std::vector<double> made = to_vector(mean(sample_policy(policy, network, {64, 2}, context), {1}));
    double bright = 0, dark = 0;
    for (size_t i = 0; i < 64; ++i) (i % 2 ? dark : bright) += made[i] / 32;
    CAPTURE(static_cast<int>(objective));
    CHECK(bright > 0.2);
    CHECK(dark < -0.2);
  }
}

TEST_CASE("rlcm: bad input is one clear line") {
  Line line(f32);
  ConsistencyPolicy policy({80, 1});
  optim::Adam adam({line.a, line.b}, {});
  auto trainer = [&](rlcm::SampleReward reward, rlcm::PolicyGradientOptions options = {}) {
    return PolicyGradientTrainer(policy, line.network(), adam, std::move(reward), options);
  };
  rlcm::SampleReward infinite = [](const Tensor& x, const Tensor&) {
    return std::vector<double>(static_cast<size_t>(x.size(0)), INFINITY);
  };
  CHECK_THROWS_WITH_AS(trainer(infinite).update({4, 2}), "advantage: rewards must be finite, one is inf", ValueError);
  rlcm::SampleReward one = [](const Tensor&, const Tensor&) { return std::vector<double>{1}; };
  CHECK_THROWS_WITH_AS(trainer(one).update({4, 2}), "policy_gradient: the reward gave 1 numbers for 4 samples", ShapeError);
  CHECK_THROWS_WITH_AS(trainer(brightness()).update({4, 2}, {}, {0, 0}), "policy_gradient: 2 keys for a batch of 4", ShapeError);
  CHECK_THROWS_WITH_AS(trainer(brightness(), {.clip = 0}), "policy_gradient: clip must be positive, it is 0", ValueError);
  CHECK_THROWS_AS(trainer(brightness(), {.objective = Objective::rebel, .step_each_time = true}), ValueError);
  CHECK_THROWS_WITH_AS(trainer(brightness(), {.objective = Objective::rebel}).update({4, 2}, {}, {0, 1, 1, 0}),
                       "policy_gradient: REBEL takes pairs: the second half of the batch must have the keys of the first", ValueError);
  CHECK_THROWS_WITH_AS(trainer(brightness()).update({4}), "policy_gradient: samples are [B, ..], not [4]", ShapeError);
}

TEST_CASE("rlcm: the experiment runs, and choosing among samples raises their reward") {
  methods::Results results =
      methods::run_experiment({"generative", "rlcm", &rlcm::experiment, {}}, {.budget = methods::Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == rlcm::experiment().variants.size());
  CHECK(measured(results, "best of 60, H = 2", "reward") > measured(results, "untuned, H = 2", "reward"));
  CHECK(measured(results, "RLCM, H = 2", "reward") != measured(results, "untuned, H = 2", "reward"));
  CHECK(measured(results, "RLCM, H = 2", "seconds of training") > 0);
  for (const auto& cell : results.cells)
    for (const auto& [name, value] : cell.measured.metrics) CHECK(std::isfinite(value));
}
