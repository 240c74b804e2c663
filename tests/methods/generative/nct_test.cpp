// Noise consistency training: the path, the worked losses, how the adapter comes to use the control, and the experiment.
#include "methods/generative/nct/nct.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "methods/generative/nct/problem.h"
#include "methods/runner.h"
#include "models/optim/adam.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "tests/methods/measured.h"
#include "tests/ops/samples.h"

using namespace plumb;
using diffusion::ConsistencyMetric;

namespace plumb::methods::nct {
Experiment experiment();
}

namespace nct = methods::nct;
using methods::ControlledGenerator;
using nct::NoisePath;

namespace {

constexpr nct::Distance kSquare{ConsistencyMetric::mean_square, 0.03}, kHuber{ConsistencyMetric::pseudo_huber, 0.03};

// 0.8 z + 0.1 c [1, −1] for c [B, 1]
Tensor linear_generator(const Tensor& z, const Tensor& c) { return z * 0.8 + c * tensor({{0.1, -0.1}}, f64); }

}  // namespace

TEST_CASE("nct: the path keeps the noise's variance, its ends are exact, and its steps are alike") {
  for (int64_t n : {1, 4, 16, 64}) {
    NoisePath path(n);
    CHECK(path.levels() == n);
    for (int64_t k = 0; k <= n; ++k)
      CHECK(path.alpha(k) * path.alpha(k) + path.sigma(k) * path.sigma(k) == doctest::Approx(1).epsilon(1e-14));
    for (int64_t k = 0; k < n; ++k) {
      double step = std::pow(path.alpha(k) - path.alpha(k + 1), 2) + std::pow(path.sigma(k) - path.sigma(k + 1), 2);
      CHECK(step == doctest::Approx(2 - 2 * std::cos(std::numbers::pi / (2 * static_cast<double>(n)))).epsilon(1e-12));
    }
  }
  NoisePath path(16);
  CHECK(2 - 2 * std::cos(std::numbers::pi / 32) == doctest::Approx(0.00963055).epsilon(1e-6));
  CHECK(path.alpha(7) == doctest::Approx(0.773010).epsilon(1e-6));
  CHECK(path.sigma(7) == doctest::Approx(0.634393).epsilon(1e-6));
  Tensor z = tensor({{0.5, -1.2}}, f64), e = tensor({{1.0, 0.3}}, f64);
  NoisePath::Neighbours pair = path.couple(z, e, {7});
  std::vector<double> low = to_vector(pair.low), high = to_vector(pair.high);
  CHECK(low[0] == doctest::Approx(1.02090).epsilon(1e-5));
  CHECK(low[1] == doctest::Approx(-0.737295).epsilon(1e-5));
  CHECK(high[0] == doctest::Approx(1.06066).epsilon(1e-5));
  CHECK(high[1] == doctest::Approx(-0.636396).epsilon(1e-5));
  Tensor many = test::sample({3, 2}, 1, f32), other = test::sample({3, 2}, 2, f32);
  CHECK(test::same_bits(path.couple(many, other, {0, 0, 0}).low, many));
  CHECK(test::same_bits(path.couple(many, other, {15, 15, 15}).high, other));
  manual_seed(3);
  Tensor big = randn({20'000, 2}), noise = randn({20'000, 2});
  NoisePath::Neighbours far = path.couple(big, noise, std::vector<int64_t>(20'000, 11));
  CHECK(mean(square(far.high - far.low)).item() == doctest::Approx(0.00963055).epsilon(0.04));  // deviation of the mean: 0.7 %
}

TEST_CASE("nct: the worked losses of both distances") {
  Tensor z = tensor({{0.5, -1.2}}, f64), e = tensor({{1.0, 0.3}}, f64), c = tensor({{2.0}}, f64);
  NoisePath::Neighbours pair = NoisePath(16).couple(z, e, {7});
  double con = nct::noise_consistency_losses(linear_generator, pair, c, kSquare).item(),
         bound = nct::boundary_losses(linear_generator, z, z, c, kSquare).item();
  CHECK(con == doctest::Approx(0.00376368).epsilon(1e-5));
  CHECK(bound == doctest::Approx(0.0058).epsilon(1e-9));
  CHECK(nct::noise_consistency_losses(linear_generator, pair, c, kHuber).item() == doctest::Approx(0.0618006).epsilon(1e-5));
  CHECK(nct::boundary_losses(linear_generator, z, z, c, kHuber).item() == doctest::Approx(0.0818034).epsilon(1e-5));
  CHECK(con + 1.0 * bound == doctest::Approx(0.00956368).epsilon(1e-5));
  optim::DualVariable dual({.start = 1, .rate = 0.05, .margin = 0.02});
  CHECK(dual.update(bound) == doctest::Approx(0.999290).epsilon(1e-6));
}

TEST_CASE("nct: an adapter that starts at zero leaves f, and neither f nor the target get a gradient") {
  manual_seed(2);
  nct::Problem plane = nct::plane_problem();
  methods::ControlAdapter adapter(plane.adapter);
  ControlledGenerator g = methods::adapted(plane.generator, adapter);
  Tensor z = randn({6, 2}), e = randn({6, 2}), x = plane.generator(z), c = plane.annotate(x);
  NoisePath::Neighbours pair = NoisePath(16).couple(z, e, {0, 3, 5, 9, 12, 15});
  CHECK(test::same_bits(g(z, c), x));
  CHECK(max(abs(nct::boundary_losses(g, z, x, c, kHuber))).item() == 0);
  CHECK(test::same_bits(nct::noise_consistency_losses(g, pair, c, kHuber), kHuber(plane.generator(pair.high), plane.generator(pair.low))));

  Tensor scale = tensor({1.3}).requires_grad_();
  ControlledGenerator scaled = [&](const Tensor& y, const Tensor&) { return plane.generator(y) * scale; };
  sum(nct::noise_consistency_losses(scaled, pair, c, kSquare)).backward();
  // with the target held still: the derivative of the mean of (s f(z_high) − t)² with t = 1.3 f(z_low)
  Tensor high = plane.generator(pair.high), target = plane.generator(pair.low) * 1.3;
  double expected = sum(mean((high * 1.3 - target) * high * 2.0, {1})).item();
  CHECK(scale.grad().item() == doctest::Approx(expected).epsilon(1e-4));
  Tensor frozen = x.detach().requires_grad_();
  sum(nct::boundary_losses(scaled, z, frozen, c, kSquare)).backward();
  CHECK_FALSE(frozen.grad().defined());
}

TEST_CASE("nct: on a linear generator descent raises the weight of the control and lowers that of the noise") {
  // g = a z + b c with c = z: the residual a (z_high − z_low) does not know b, the gradient does
  constexpr int64_t kDraws = 1'000'000, kLevel = 5;
  NoisePath path(16);
  Generator draws(7);
  Tensor z = randn({kDraws, 1}, {.dtype = f64, .generator = &draws}), e = randn({kDraws, 1}, {.dtype = f64, .generator = &draws});
  double step = 1 - std::cos(std::numbers::pi / 32);
  std::vector<double> values;
  for (double b_value : {0.1, 0.7}) {
    Tensor a = tensor({0.8}, f64).requires_grad_(), b = tensor({b_value}, f64).requires_grad_();
    ControlledGenerator g = [&](const Tensor& y, const Tensor& c) { return a * y + b * c; };
    Tensor loss = mean(nct::noise_consistency_losses(g, path.couple(z, e, std::vector<int64_t>(kDraws, kLevel)), z, kSquare));
    values.push_back(loss.item());
    loss.backward();
    CHECK(std::abs(b.grad().item() - 2 * 0.8 * (path.alpha(kLevel + 1) - path.alpha(kLevel))) < 1e-3);
    CHECK(std::abs(a.grad().item() - 2 * 0.8 * step) < 1e-3);
    CHECK(b.grad().item() < 0);
    CHECK(a.grad().item() > 0);
  }
  CHECK(std::abs(values[0] - 0.64 * 2 * step) < 1e-3);
  CHECK(values[0] == doctest::Approx(values[1]).epsilon(1e-12));
}

TEST_CASE("nct: particles as sets: the plain distance for one, nothing between equal sets, the loops for several") {
  Tensor a = test::sample({2, 3, 4}, 1), b = test::sample({2, 3, 4}, 2);
  auto at = [](const Tensor& x, int64_t i, int64_t j) { return narrow(select(x, 0, i), 0, j, 1); };
  auto d = [&](const Tensor& x, const Tensor& y) { return kHuber(x, y).item(); };
  std::vector<double> got = to_vector(nct::particle_losses(a, b, kHuber));
  for (int64_t s = 0; s < 2; ++s) {
    double expected = 0;
    for (int64_t i = 0; i < 3; ++i)
      for (int64_t j = 0; j < 3; ++j)
        expected += (d(at(a, s, i), at(b, s, j)) - 0.5 * d(at(a, s, i), at(a, s, j)) - 0.5 * d(at(b, s, i), at(b, s, j))) / 9;
    CHECK(got[static_cast<size_t>(s)] == doctest::Approx(expected).epsilon(1e-12));
  }
  Tensor one = narrow(a, 1, 0, 1), other = narrow(b, 1, 0, 1);
  CHECK(test::difference(nct::particle_losses(one, other, kHuber), kHuber(flatten(one, 1), flatten(other, 1))) < 1e-14);
  CHECK(max(abs(nct::particle_losses(a, flip(a, {1}), kHuber))).item() < 1e-14);
  CHECK_THROWS_WITH_AS(nct::particle_losses(a, one), "particle_losses: takes two [B, M, ..] of one shape, got [2, 3, 4] and [2, 1, 4]",
                       ShapeError);
}

namespace {

// Share of right quadrants of an adapter trained for `steps`, with controls of their own or always the same.
double trained_accuracy(bool constant_control, int64_t steps) {
  manual_seed(5);
  nct::Problem plane = nct::plane_problem();
  methods::ControlAdapter adapter({.noise = 2, .control = 4, .outputs = 2, .hidden = {48, 48}});
  ControlledGenerator g = methods::adapted(plane.generator, adapter);
  optim::Adam adam(adapter.parameters(), {.lr = 3e-3, .beta2 = 0.99});
  nct::NctTraining training({.levels = 4, .dual = {.start = 0.35, .rate = 0, .margin = 0.05}});
  for (int64_t k = 0; k < steps; ++k) {
    Tensor z = randn({128, 2}), x = plane.generator(z);
    Tensor c = constant_control ? to(one_hot(full({128}, int64_t{2}, i64), 4), f32) : plane.annotate(x);
    adam.zero_grad();
    training.loss(g, {z, x, c}).backward();
    adam.step();
    training.update();
  }
  CHECK(training.lambda() == 0.35);
  Tensor asked = randint(0, 4, {4000}), c = to(one_hot(asked, 4), f32);
  return mean(to(nct::quadrant(g(randn({4000, 2}), c)) == asked, f64)).item();
}

}  // namespace

TEST_CASE("nct: the control is learned from coupled samples; one that is always the same stays at chance") {
  CHECK(trained_accuracy(false, 600) > 0.7);
  CHECK(trained_accuracy(true, 200) < 0.35);
}

TEST_CASE("nct: sampling with many calls obeys the control") {
  nct::Problem plane = nct::plane_problem();
  manual_seed(6);
  Tensor asked = randint(0, 4, {300}), c = to(one_hot(asked, 4), f32);
  CHECK(mean(to(nct::quadrant(nct::nearest_of(plane, c, 64)) == asked, f64)).item() > 0.99);
  CHECK(mean(to(nct::quadrant(nct::optimised(plane, randn({300, 2}), c)) == asked, f64)).item() > 0.9);
  Tensor rows = test::sample({2, 64}, 3, f32);
  std::vector<double> numbers = to_vector(rows);
  double first = 0;
  for (size_t y = 0; y < 4; ++y)
    for (size_t x = 4; x < 8; ++x) first += numbers[8 * y + x] / 16;
  CHECK(to_vector(nct::quarters(rows))[1] == doctest::Approx(first).epsilon(1e-5));
  CHECK(test::difference(nct::quarters(nct::enlarged(nct::quarters(rows))), nct::quarters(rows)) < 1e-6);
}

TEST_CASE("nct: bad input is one clear line") {
  CHECK_THROWS_WITH_AS(NoisePath(0), "noise_path: needs at least 1 step, got 0", ValueError);
  CHECK_THROWS_WITH_AS(NoisePath({0, 0.6, 0.5, 1}), "noise_path: sigma must ascend, 0.6 is followed by 0.5", ValueError);
  CHECK_THROWS_WITH_AS(NoisePath({0.1, 1}), "noise_path: sigma must lead from 0 to 1, got 2 numbers from 0.1 to 1", ValueError);
  CHECK_THROWS_WITH_AS(NoisePath(4).couple(zeros({1, 2}), zeros({1, 2}), {4}), "noise_path: level 4 is outside [0, 4)", IndexError);
  CHECK_THROWS_WITH_AS(NoisePath(4).alpha(5), "noise_path: level 5 is outside [0, 4]", IndexError);
  CHECK_THROWS_WITH_AS(nct::NctTraining({.levels = 0}), "nct: levels must be at least 1, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(nct::NctTraining({.particles = 0}), "nct: particles must be at least 1, it is 0", ValueError);
  CHECK_THROWS_AS(nct::NctTraining({.dual = {.margin = -1}}), ValueError);
  CHECK_THROWS_AS(nct::NctTraining({.dual = {.rate = -1}}), ValueError);
  ControlledGenerator narrow_one = [](const Tensor& z, const Tensor&) { return narrow(z, 1, 0, 1); };
  CHECK_THROWS_WITH_AS(nct::boundary_losses(narrow_one, zeros({3, 2}), zeros({3, 2}), zeros({3, 1})),
                       "nct: the adapted generator makes [3, 1], the frozen one [3, 2]", ShapeError);
  nct::NctTraining training;
  CHECK_THROWS_WITH_AS(training.loss(linear_generator, {zeros({3, 2}), zeros({3, 2}), zeros({2, 1})}),
                       "nct: noise [3, 2] and controls [2, 1] are not one for one", ShapeError);
}

TEST_CASE("nct: the experiment runs; a frozen generator does not hear the control, rejection obeys it") {
  methods::Results results =
      methods::run_experiment({"generative", "nct", &nct::experiment, {}}, {.budget = methods::Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == nct::experiment().variants.size());
  CHECK(measured(results, "rejection", "plane: right quadrant (%)") > 99);
  CHECK(measured(results, "frozen generator", "plane: right quadrant (%)") < 40);
  CHECK(measured(results, "rejection", "digits: control error") < 0.5 * measured(results, "frozen generator", "digits: control error"));
  CHECK(measured(results, "NCT", "calls a sample") == 1);
}
