// Samplers as policies: the worked step, what each one's distribution is, rollouts, and that log-probabilities are found again.
#include "models/diffusion/policy.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "models/diffusion/latent_consistency.h"
#include "models/diffusion/sampler.h"
#include "models/diffusion/time_mlp.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::diffusion;

namespace {

PolicyNetwork halving() {
  return [](const Tensor& x, const Tensor&, const Tensor&) { return x * 0.5; };
}

}  // namespace

TEST_CASE("LatentConsistencyPolicy: the worked step from 999 to 879, and the last step's own time") {
  VpSchedule schedule = VpSchedule::scaled_linear(1000, 0.00085, 0.012);
  LatentConsistencyPolicy policy(schedule, lcm_sampling_times(8));
  CHECK(policy.horizon() == 8);
  PolicyNetwork eps = [](const Tensor& x, const Tensor& t, const Tensor&) {
    CHECK(to_vector(t)[0] == 999);
    return expand(tensor({{0.4, -0.9}}, f64), x.shape());
  };
  Tensor x = tensor({{0.5, -1.0}}, f64);
  PolicyStep step = policy.at(eps, x, {0});
  std::vector<double> f = to_vector(step.estimate), mean = to_vector(step.mean);
  CHECK(f[0] == doctest::Approx(1.47855).epsilon(1e-5));  // c_out is 1 and c_skip 2e-9 at t = 999
  CHECK(f[1] == doctest::Approx(-1.49564).epsilon(1e-5));
  CHECK(mean[0] == doctest::Approx(0.195785).epsilon(1e-5));
  CHECK(mean[1] == doctest::Approx(-0.198047).epsilon(1e-5));
  double variance = step.variance.item();
  CHECK(variance == doctest::Approx(0.982466).epsilon(1e-6));
  Tensor next = step.mean + tensor({{1.0, -0.5}}, f64) * std::sqrt(variance);
  CHECK(to_vector(next)[0] == doctest::Approx(1.18698).epsilon(1e-5));
  CHECK(to_vector(next)[1] == doctest::Approx(-0.693644).epsilon(1e-5));
  double logp = gaussian_log_prob(next, step.mean, step.variance).item();
  CHECK(logp == doctest::Approx(-1.22259).epsilon(1e-5));
  CHECK(2 * logp == doctest::Approx(-2.44519).epsilon(1e-5));
  double last = policy.at([](const Tensor& y, const Tensor&, const Tensor&) { return y; }, x, {7}).variance.item();
  CHECK(last == doctest::Approx(1 - 0.814990).epsilon(1e-5));  // 159 again
  CHECK_FALSE(policy.rewards_action());
}

TEST_CASE("the schedule and the grids of RLCM, worked") {
  VpSchedule schedule = VpSchedule::scaled_linear(1000, 0.00085, 0.012);
  for (auto [t, a] : {std::pair<int64_t, double>{19, 0.982244}, {159, 0.814990}, {279, 0.625729}, {519, 0.251578}})
    CHECK(schedule.alpha_bar(t) == doctest::Approx(a).epsilon(1e-6));
  CHECK(schedule.alpha_bar(999) == doctest::Approx(0.00466010).epsilon(1e-5));
  CHECK(LcmBoundary().at(19).skip == doctest::Approx(6.92516e-06).epsilon(1e-5));
  CHECK(lcm_sampling_times(1) == std::vector<int64_t>{999});
  CHECK(lcm_sampling_times(2) == std::vector<int64_t>{999, 499});
  CHECK(lcm_sampling_times(4) == std::vector<int64_t>{999, 759, 519, 279});
  CHECK(lcm_sampling_times(8) == std::vector<int64_t>{999, 879, 759, 639, 519, 399, 279, 159});
  std::vector<int64_t> sixteen = lcm_sampling_times(16);
  REQUIRE(sixteen.size() == 16);
  for (size_t i = 0; i < 16; ++i) CHECK(sixteen[i] == 999 - 60 * static_cast<int64_t>(i));
  CHECK_THROWS_AS(lcm_sampling_times(51), ValueError);
  std::vector<double> w = to_vector(guidance_embedding(tensor({7.0}, f64)));  // guidance 8 is told as 7
  REQUIRE(w.size() == 256);
  for (size_t i : {size_t{0}, size_t{40}, size_t{127}}) {
    double q = std::pow(10000, -static_cast<double>(i) / 127);
    CHECK(w[i] == doctest::Approx(std::sin(7000 * q)).epsilon(1e-6));
    CHECK(w[128 + i] == doctest::Approx(std::cos(7000 * q)).epsilon(1e-6));
  }
}

TEST_CASE("ConsistencyPolicy and AncestralPolicy: each row at a step of its own") {
  Tensor x = test::sample({3, 2}, 1);
  ConsistencyPolicy few({80, 5, 1}, 0.1, 0.002);
  PolicyStep step = few.at(halving(), x, {0, 1, 2});
  std::vector<double> v = to_vector(step.variance);
  CHECK(v[0] == doctest::Approx(25 - 4e-6).epsilon(1e-12));
  CHECK(v[1] == doctest::Approx(1 - 4e-6).epsilon(1e-12));
  CHECK(v[2] == doctest::Approx(0.01).epsilon(1e-12));
  CHECK(test::difference(step.mean, x * 0.5) < 1e-15);
  AncestralPolicy many({4, 2, 0.5}, 0.2);
  PolicyStep a = many.at(halving(), x, {0, 1, 2});
  std::vector<double> s = to_vector(a.variance), mean = to_vector(a.mean), at = to_vector(x);
  CHECK(s[0] == doctest::Approx(4 * (1 - 0.25)).epsilon(1e-12));
  CHECK(s[1] == doctest::Approx(0.25 * (1 - 0.0625)).epsilon(1e-12));
  CHECK(s[2] == doctest::Approx(0.04).epsilon(1e-12));
  std::vector<double> share{0.25, 0.0625, 0};
  for (size_t i = 0; i < 6; ++i) CHECK(mean[i] == doctest::Approx(share[i / 2] * at[i] + (1 - share[i / 2]) * 0.5 * at[i]).epsilon(1e-12));
  // the same law as the sampler's ancestral step
  EtaStep eta = eta_step(4, 2, 1);
  CHECK(eta.up * eta.up == doctest::Approx(s[0]).epsilon(1e-12));
  CHECK(mean[0] == doctest::Approx(0.5 * at[0] + 0.5 * at[0] * eta.down / 4).epsilon(1e-12));
}

TEST_CASE("rollout: H states, actions and log-probabilities, which are found again; the sample has no last noise") {
  manual_seed(3);
  TimeMlp network({.features = 4, .hidden = {16, 16}, .condition = 2});
  PolicyNetwork f = [&](const Tensor& x, const Tensor& sigma, const Tensor& c) { return network(x, log(sigma) * 0.25, {}, c); };
  Tensor context = randn({5, 2});
  for (int which = 0; which < 2; ++which) {
    ConsistencyPolicy few({80, 1, 0.3});
    AncestralPolicy many(karras_sigmas(6));
    const SamplerPolicy& policy = which == 0 ? static_cast<const SamplerPolicy&>(few) : many;
    Trajectories t = rollout(policy, f, {5, 4}, context);
    int64_t h = policy.horizon();
    CHECK(t.states.shape() == Shape{h, 5, 4});
    CHECK(t.actions.shape() == Shape{h, 5, 4});
    CHECK(t.log_probs.shape() == Shape{h, 5});
    CHECK(test::same_bits(contiguous(slice(t.states, 0, 1)), contiguous(slice(t.actions, 0, 0, h - 1))));
    for (int64_t k = 0; k < h; ++k) {
      std::vector<int64_t> b{4, 0, 2}, steps{k, (k + 1) % h, k};
      Trajectories::Steps now = t.at(b, steps);
      PolicyStep again = policy.at(f, now.state, steps, now.context);
      CHECK(test::difference(gaussian_log_prob(now.action, again.mean, again.variance), now.log_prob) < 1e-6);
      CHECK(to_vector(now.context)[0] == to_vector(context)[8]);
    }
    PolicyStep last = policy.at(f, select(t.states, 0, h - 1), std::vector<int64_t>(5, h - 1), context);
    CHECK(test::difference(t.estimate, last.estimate) < 1e-6);
  }
  ConsistencyPolicy one({80}, 0.1);
  CHECK(rollout(one, halving(), {4, 2}).horizon() == 1);
  Generator g(1), same(1);
  ConsistencyPolicy two({80, 1});
  Denoiser half = [](const Tensor& x, const Tensor&) { return x * 0.5; };
  Tensor z = randn({4, 2}, {.generator = &same}) * 80.0;
  CHECK(test::difference(sample_policy(two, halving(), {4, 2}, {}, g),
                         sample(half, z, {80, 1}, {.sampler = Sampler::consistency, .generator = &same})) < 1e-5);
}

TEST_CASE("gaussian_log_prob: the mean over numbers, against the formula") {
  Tensor x = test::sample({2, 3}, 1), m = test::sample({2, 3}, 2), v = tensor({0.5, 2.0}, f64);
  std::vector<double> xs = to_vector(x), ms = to_vector(m), got = to_vector(gaussian_log_prob(x, m, v));
  for (size_t b = 0; b < 2; ++b) {
    double variance = b ? 2.0 : 0.5, expected = 0;
    for (size_t j = 3 * b; j < 3 * b + 3; ++j)
      expected += (-(xs[j] - ms[j]) * (xs[j] - ms[j]) / (2 * variance) - std::log(std::sqrt(variance)) -
                   std::log(std::sqrt(2 * std::numbers::pi))) /
                  3;
    CHECK(got[b] == doctest::Approx(expected).epsilon(1e-12));
  }
}

TEST_CASE("policies: bad input is one clear line") {
  CHECK_THROWS_WITH_AS(ConsistencyPolicy({}), "consistency_policy: the horizon must be at least 1, there are no times", ValueError);
  CHECK_THROWS_WITH_AS(ConsistencyPolicy({80, 80}), "consistency_policy: times must descend, 80 is followed by 80",
                       ValueError);
  CHECK_THROWS_WITH_AS(ConsistencyPolicy({80, 0.001}), "consistency_policy: times must lie above 0.002, one is 0.001", ValueError);
  CHECK_THROWS_WITH_AS(ConsistencyPolicy({80}, 0), "consistency_policy: the last step needs a deviation above 0, it is 0",
                       ValueError);
  CHECK_THROWS_WITH_AS(AncestralPolicy({1, 2}), "ancestral_policy: times must descend, 1 is followed by 2", ValueError);
  VpSchedule schedule = VpSchedule::scaled_linear();
  CHECK_THROWS_WITH_AS(LatentConsistencyPolicy(schedule, {499, 999}),
                       "latent_consistency_policy: times must descend, 499 is followed by 999", ValueError);
  CHECK_THROWS_AS(LatentConsistencyPolicy(schedule, {1000}), IndexError);
  ConsistencyPolicy two({80, 1});
  CHECK_THROWS_WITH_AS(two.at(halving(), zeros({2, 3}), {0, 2}), "policy: step 2 is outside [0, 2)", IndexError);
  CHECK_THROWS_WITH_AS(two.at(halving(), zeros({2, 3}), {0}), "policy: 1 steps for states [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(rollout(two, halving(), {2, 3}, zeros({3, 1})), "rollout: contexts [3, 1] for samples [2, 3]", ShapeError);
  CHECK_THROWS_AS(gaussian_log_prob(zeros({2, 3}), zeros({2, 3}), zeros({3})), ShapeError);
}
