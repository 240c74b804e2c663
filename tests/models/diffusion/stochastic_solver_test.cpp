// Steps of the reverse SDE: worked steps in both scales, what noise does to normal data, and paths of several steps.
#include <doctest/doctest.h>

#include <cmath>

#include "models/diffusion/sampler.h"
#include "models/diffusion/solver.h"
#include "models/diffusion/stochastic_solver.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::diffusion;

namespace {

Tensor exact(const Tensor& x, const Tensor& sigma) { return x * 0.25 / (per_example(square(sigma), x) + 0.25); }
Tensor levels(std::initializer_list<double> values) { return from_vector(std::vector<double>(values)); }

// s of a VP step with η, and the step's result for x, ε, n of two numbers
struct Worked {
  double s;
  std::vector<double> z;
};
Worked vp_worked(double eta, int64_t from, int64_t to) {
  VpSchedule schedule = VpSchedule::scaled_linear();
  Tensor x = tensor({{0.5, -1.0}}, f64), eps = tensor({{0.4, -0.9}}, f64), n = tensor({{1.0, -0.5}}, f64);
  Tensor clean = predicted_clean(Prediction::eps, x, eps, full({1}, schedule.alpha_bar(from), f64));
  double s = std::sqrt(schedule.alpha_bar(to)) * NoiseRule::eta(eta).at(schedule.sigma(from), schedule.sigma(to)).noise;
  return {s, to_vector(vp_step(NoiseRule::eta(eta), schedule, clean, eps, {from}, {to}, n))};
}

void check_worked(double eta, int64_t from, int64_t to, double s, double a, double b) {
  Worked w = vp_worked(eta, from, to);
  CAPTURE(eta);
  CAPTURE(from);
  CHECK(w.s == doctest::Approx(s).epsilon(1e-5));
  CHECK(w.z[0] == doctest::Approx(a).epsilon(1e-5));
  CHECK(w.z[1] == doctest::Approx(b).epsilon(1e-5));
}

}  // namespace

TEST_CASE("vp_step: worked steps of DDIM with eta; eta = 1 has the posterior's deviation") {
  check_worked(0, 519, 511, 0, 0.500729, -0.999113);
  check_worked(0.3, 519, 511, 0.0590082, 0.558925, -1.02679);
  check_worked(1, 519, 511, 0.196694, 0.688295, -1.07692);
  check_worked(0.3, 519, 495, 0.0979105, 0.597631, -1.04074);
  check_worked(1, 999, 991, 0.302601, 0.788670, -1.11380);
  VpSchedule schedule = VpSchedule::scaled_linear();
  double a = schedule.alpha_bar(519), m = schedule.alpha_bar(511);
  CHECK(vp_worked(1, 519, 511).s == doctest::Approx(std::sqrt((1 - m) / (1 - a) * (1 - a / m))).epsilon(1e-10));
}

TEST_CASE("vp_step: normal data keep their variance but for the error of a finite step") {
  VpSchedule schedule = VpSchedule::scaled_linear();
  auto variance = [&](double eta, int64_t to) {  // z normal, ε = √(1 − ᾱ) z exactly: the step is linear in z and n
    double a = schedule.alpha_bar(519);
    Tensor one = ones({1, 1}, f64), eps = full({1, 1}, std::sqrt(1 - a), f64);
    Tensor clean = predicted_clean(Prediction::eps, one, eps, full({1}, a, f64));
    double mean = vp_step(NoiseRule::eta(eta), schedule, clean, eps, {519}, {to}, zeros({1, 1}, f64)).item();
    double noise = vp_step(NoiseRule::eta(eta), schedule, clean, eps, {519}, {to}, one).item() - mean;
    return mean * mean + noise * noise;
  };
  CHECK(variance(0, 511) == doctest::Approx(0.999862).epsilon(1e-6));
  CHECK(variance(0.3, 511) == doctest::Approx(0.999837).epsilon(1e-6));
  CHECK(variance(1, 511) == doctest::Approx(0.999462).epsilon(1e-6));
  for (double eta : {0.0, 0.3, 1.0}) CHECK(std::abs(variance(eta, 518) - 1) < 0.2 * std::abs(variance(eta, 511) - 1));
}

TEST_CASE("vp_step: to -1 leads to the data, and what cannot be is an error of one line") {
  VpSchedule schedule = VpSchedule::scaled_linear();
  Tensor clean = tensor({{0.3}}, f64), eps = tensor({{1.0}}, f64);
  CHECK(vp_step(NoiseRule::eta(0), schedule, clean, eps, {19}, {-1}).item() == doctest::Approx(0.3).epsilon(1e-12));
  CHECK_THROWS_WITH_AS(vp_step(NoiseRule::eta(0), schedule, clean, eps, {19}, {19}),
                       "vp_step: a step goes to an earlier time, not from 19 to 19", ValueError);
  CHECK_THROWS_WITH_AS(vp_step(NoiseRule::eta(0.5), schedule, clean, eps, {19}, {9}), "vp_step: a step with noise needs noise", ValueError);
  CHECK_THROWS_WITH_AS(vp_step(NoiseRule::eta(0), schedule, clean, eps, {19, 20}, {9, 9}), "vp_step: 2 and 2 times for [1, 1]", ShapeError);
  CHECK_THROWS_WITH_AS(NoiseRule::eta(-0.1), "noise_rule: eta must lie in [0, 1], it is -0.1", ValueError);
  CHECK_THROWS_AS(NoiseRule::eta(1.1), ValueError);
}

TEST_CASE("sde_step: worked shares of eta and of ER-SDE, in the exploding scale") {
  auto eta = NoiseRule::eta(0.3).at(5, 3);
  CHECK(eta.noise == doctest::Approx(0.72).epsilon(1e-6));
  CHECK(eta.keep * 5 == doctest::Approx(2.91232).epsilon(1e-5));
  CHECK(0.4 + 2.6 * eta.keep + eta.noise == doctest::Approx(2.63441).epsilon(1e-5));
  CHECK(std::pow(5 * eta.keep, 2) + eta.noise * eta.noise == doctest::Approx(9).epsilon(1e-12));
  CHECK(0.4 + 2.6 * NoiseRule::eta(0).at(5, 3).keep == doctest::Approx(1.96).epsilon(1e-12));
  auto er = [](NoiseRule rule, double keep, double noise, double mean) {
    StepShares s = rule.at(5, 3);
    CHECK(s.keep == doctest::Approx(keep).epsilon(1e-5));
    CHECK(s.noise == doctest::Approx(noise).epsilon(1e-5));
    CHECK(s.keep * 3 + (1 - s.keep) * 0.4 == doctest::Approx(mean).epsilon(1e-5));
  };
  er(NoiseRule::scaled([](double x) { return x; }), 0.6, 0, 1.96);
  er(NoiseRule::scaled([](double x) { return x * x; }), 0.36, 2.4, 1.336);
  er(NoiseRule::scaled([](double x) { return std::pow(x, 1.5); }), 0.464758, 1.89737, 1.60837);
  er(NoiseRule::er_sde5(), 0.558556, 1.09562, 1.85225);
  CHECK_THROWS_WITH_AS(NoiseRule::eta(0).at(3, 3), "sde_step: a step goes down to a level in [0, 3), not to 3", ValueError);
}

TEST_CASE("sde_step: without noise it is Euler's step to the bit and draws nothing; with noise its moments are the rule's") {
  Tensor x = test::sample({3, 2}, 1), from = levels({5, 3, 1}), to = levels({4, 1, 0.5});
  Generator g(1);
  CHECK(test::same_bits(sde_step(NoiseRule::eta(0), exact, x, from, to, g), ode_step(Solver::euler, exact, x, from, to)));
  CHECK(g.offset() == 0);
  Tensor many = full({20'000, 1}, 3.0, f64),
         y = sde_step(NoiseRule::eta(0.3), exact, many, full({20'000}, 5.0, f64), full({20'000}, 3.0, f64), g);
  double d = exact(full({1, 1}, 3.0, f64), full({1}, 5.0, f64)).item(), keep = NoiseRule::eta(0.3).at(5, 3).keep;
  CHECK(mean(y).item() == doctest::Approx(d + keep * (3 - d)).epsilon(0.01));
  CHECK(std_dev(y, {}, 0).item() == doctest::Approx(0.72).epsilon(0.03));
  // down to the data: D alone, with any rule
  CHECK(sde_step(NoiseRule::eta(0.5), exact, full({1, 1}, 3.0, f64), levels({5}), levels({0}), g).item() ==
        doctest::Approx(d).epsilon(1e-12));
  CHECK_THROWS_WITH_AS(sde_step(NoiseRule::eta(0), exact, x, from, levels({1, 1})), "sde_step: 3 levels to start from, 2 to go to",
                       ShapeError);
}

TEST_CASE("solve_path: noise is new in every step, and any rule keeps the law of normal data as steps grow many") {
  auto grid = karras_sigmas(65, 0.5, 8);
  constexpr int64_t n = 20'000;
  std::vector<Tensor> path;
  for (double s : grid) path.push_back(full({n}, s, f64));
  Generator g(7);
  Tensor x = randn({n, 1}, {.dtype = f64, .generator = &g}) * std::sqrt(64.25);
  for (auto& rule : {NoiseRule::eta(0), NoiseRule::eta(0.5), NoiseRule::eta(1), NoiseRule::er_sde5()}) {
    Tensor y = solve_path(rule, exact, x, path, g);
    CHECK_FALSE(y.requires_grad());
    CHECK(std_dev(y, {}, 0).item() == doctest::Approx(std::sqrt(0.5)).epsilon(0.03));
  }
  Tensor start = full({1, 1}, 3.0, f64);
  std::vector<Tensor> two{levels({5}), levels({3}), levels({1})};
  Generator a(3), b(3);
  Tensor first = sde_step(NoiseRule::eta(1), exact, start, two[0], two[1], b);
  CHECK(test::same_bits(solve_path(NoiseRule::eta(1), exact, start, two, a), sde_step(NoiseRule::eta(1), exact, first, two[1], two[2], b)));
  CHECK(a.offset() == 2);
  CHECK_THROWS_WITH_AS(solve_path(NoiseRule::eta(0), exact, start, {levels({5})}), "solve_path: a path has at least 2 levels, not 1",
                       ValueError);
}
