// Consistency trajectory models: jumps against exact trajectories of normal data, the losses and their gradients, gamma-sampling, the
// experiment.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/data/points.h"
#include "methods/generative/ctm/ctm.h"
#include "methods/runner.h"
#include "models/diffusion/loss.h"
#include "models/diffusion/mixture.h"
#include "models/diffusion/time_mlp.h"
#include "models/nn/init.h"
#include "ops/elementary.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "tests/methods/generative/image_form.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::diffusion;

namespace plumb::methods::ctm {
Experiment experiment();
void run_on_images(Cell& cell, const ImageProblem& problem, int64_t steps, int64_t batch, int64_t samples);
}  // namespace plumb::methods::ctm

namespace ctm = methods::ctm;

namespace {

Tensor one(double value) { return full({1}, value, f64); }
Tensor point(double value) { return full({1, 1}, value, f64); }

// data N(0, 0.25): the exact denoiser and jump
Tensor exact_denoiser(const Tensor& x, const Tensor& t) { return x * 0.25 / (per_example(square(t), x) + 0.25); }
Tensor exact_jump(const Tensor& x, const Tensor& t, const Tensor& s) {
  return x * sqrt((per_example(square(s), x) + 0.25) / (per_example(square(t), x) + 0.25));
}

// A small trajectory network in f64 with a second time that has been moved off its zero.
TimeMlp small_network(uint64_t seed) {
  manual_seed(seed);
  TimeMlp net({.features = 2, .hidden = {6}, .second_time = true});
  net.to(f64);
  for (const auto& [name, p] : net.named_parameters())
    if (name == "second.weight") nn::init::normal(p, 0, 0.3);
  return net;
}
ctm::TrajectoryModel model_of(const TimeMlp& net) {
  return ctm::TrajectoryModel([&net](const Tensor& x, const Tensor& t, const Tensor& s) { return net(x, t, s); });
}

}  // namespace

TEST_CASE("ctm: the grid of 18 levels, worked") {
  std::vector<double> wanted{80,      57.5860, 40.7856,  28.3746,  19.3525,  12.9101,   8.40094,   5.31519,    3.25682,
                             1.92334, 1.08817, 0.585348, 0.296442, 0.139516, 0.0599473, 0.0229345, 0.00752802, 0.002};
  auto grid = ctm::CtmOptions{}.grid();
  REQUIRE(grid.size() == wanted.size());
  for (size_t i = 0; i < grid.size(); ++i) CHECK(grid[i] == doctest::Approx(wanted[i]).epsilon(1e-5));
}

TEST_CASE("ctm: a worked jump, and the identity at s = t bit for bit") {
  auto y = to_vector(ctm::jump_towards(tensor({{0.4, 0.2}}, f64), tensor({{3.0, -1.0}}, f64), one(5), one(1)));
  CHECK(y[0] == doctest::Approx(0.92).epsilon(1e-12));
  CHECK(y[1] == doctest::Approx(-0.04).epsilon(1e-12));
  TimeMlp net = small_network(1);
  manual_seed(9);
  Tensor x = randn({3, 2}, {.dtype = f64}), t = tensor({0.002, 1.3, 80.0}, f64);
  CHECK(test::same_bits(model_of(net).jump(x, t, t), x));
}

TEST_CASE("ctm: exact estimates of normal data, which tend to the denoiser as s tends to t") {
  auto estimate = [](double s) { return ctm::exact_estimate(point(3), exact_jump(point(3), one(5), one(s)), one(5), one(s)).item(); };
  CHECK(exact_jump(point(3), one(5), one(1)).item() == doctest::Approx(0.667491).epsilon(1e-5));
  CHECK(exact_denoiser(point(3), one(5)).item() == doctest::Approx(0.0297030).epsilon(1e-5));
  CHECK(estimate(1) == doctest::Approx(0.0843640).epsilon(1e-5));
  CHECK(estimate(4) == doctest::Approx(0.0333694).epsilon(1e-5));
  CHECK(estimate(4.9) == doctest::Approx(0.0300030).epsilon(1e-5));
  CHECK(estimate(4.999) == doctest::Approx(0.0297059).epsilon(1e-5));
  Tensor back = ctm::jump_towards(point(estimate(1)), point(3), one(5), one(1));
  CHECK(back.item() == doctest::Approx(0.667491).epsilon(1e-5));
  CHECK(ode_step(Solver::euler, exact_denoiser, point(3), one(5), one(1)).item() == doctest::Approx(0.623762).epsilon(1e-5));
  CHECK(ode_step(Solver::heun, exact_denoiser, point(3), one(5), one(1)).item() == doctest::Approx(0.813861).epsilon(1e-5));
  auto error = [](int64_t n) {
    return std::abs(solve_along(Solver::heun, exact_denoiser, point(3), karras_sigmas(n + 1, 1, 5), {0}, n).item() -
                    exact_jump(point(3), one(5), one(1)).item());
  };
  CHECK(std::log2(error(32) / error(64)) == doctest::Approx(2).epsilon(0.1));
}

TEST_CASE("ctm: exact jumps compose, so that the loss vanishes with them as the solver becomes exact") {
  Tensor through = exact_jump(exact_jump(point(3), one(5), one(2)), one(2), one(1));
  CHECK(through.item() == doctest::Approx(exact_jump(point(3), one(5), one(1)).item()).epsilon(1e-12));
  manual_seed(3);
  Tensor clean = randn({200, 1}, {.dtype = f64}) * 0.5;
  auto loss = [&](int64_t levels) {
    ctm::CtmOptions options{.levels = levels, .max_steps = 1};
    Generator g(4);
    ctm::Places places{1, std::vector<int64_t>(200, levels / 3), std::vector<int64_t>(200, levels - 2)};
    return mean(ctm::soft_consistency(exact_jump, exact_jump, exact_denoiser, clean, places, options, g).losses).item();
  };
  CHECK(loss(18) < 1e-2);
  CHECK(loss(200) < 1e-7);
  CHECK(loss(1800) < 1e-12);
}

TEST_CASE("ctm: worked gamma steps, probabilities of solver steps and weights of losses") {
  auto at = [](double gamma) { return ctm::gamma_step(1.0, gamma); };
  CHECK(at(0).end == 1);
  CHECK(at(0).noise == 0);
  CHECK(at(0.5).end == doctest::Approx(0.866293).epsilon(1e-5));
  CHECK(at(0.5).noise == doctest::Approx(0.499536).epsilon(1e-5));
  CHECK(at(1).end == doctest::Approx(0.002).epsilon(1e-12));
  CHECK(at(1).noise == doctest::Approx(0.999998).epsilon(1e-6));
  auto p = ctm::step_probabilities(17);
  CHECK(p[0] == doctest::Approx(0.00653595).epsilon(1e-5));
  CHECK(p[16] == doctest::Approx(0.111111).epsilon(1e-5));
  double average = 0;
  for (size_t n = 0; n < p.size(); ++n) average += p[n] * static_cast<double>(n + 1);
  CHECK(average == doctest::Approx(11.6667).epsilon(1e-5));
  CHECK(loss_weight(0.5) == doctest::Approx(8));
  CHECK(loss_weight(2) == doctest::Approx(4.25));
  for (double next : karras_sigmas(50)) CHECK(ctm::gamma_step(next, 0).noise == 0);
  Tensor w = zeros({2}, f64).requires_grad_(), ctm_loss = sum(w * tensor({3.0, 4.0}, f64));
  optim::AdaptiveWeightOptions range = ctm::CtmOptions{}.denoising_weight;
  CHECK(optim::adaptive_weight(ctm_loss, sum(w * tensor({0.6, 0.8}, f64)), w, range) == doctest::Approx(4.9995).epsilon(1e-6));
  CHECK(optim::adaptive_weight(ctm_loss, sum(w * 0.0), w, range) == 1e4);
}

TEST_CASE("ctm: places lie on the grid, all of them are drawn, and n follows its law") {
  ctm::CtmOptions options{.levels = 6, .max_steps = 3};
  Generator g(5);
  std::vector<int> steps(4);
  bool whole = false, neighbour = false;
  for (int round = 0; round < 3000; ++round) {
    ctm::Places p = ctm::draw_places(4, options, g);
    ++steps[static_cast<size_t>(p.steps)];
    for (size_t b = 0; b < 4; ++b) {
      CHECK((p.from[b] >= 0 && p.from[b] + p.steps <= p.end[b] && p.end[b] <= 5));
      whole = whole || (p.from[b] == 0 && p.end[b] == 5);
      neighbour = neighbour || p.from[b] + p.steps == p.end[b];
    }
  }
  CHECK(whole);
  CHECK(neighbour);
  for (int n = 1; n <= 3; ++n) CHECK(std::abs(steps[static_cast<size_t>(n)] / 3000.0 - n / 6.0) < 4.5 * std::sqrt(0.25 / 3000));
}

TEST_CASE("ctm: the averaged weights get no gradient but pass it on: the student's agrees with differences, targets frozen") {
  TimeMlp net = small_network(1), average = small_network(2);
  average.requires_grad_(false);
  ctm::CtmOptions options{.levels = 8, .max_steps = 3};
  Tensor clean = test::sample({3, 2}, 4);
  ctm::Places places{2, {0, 2, 4}, {3, 4, 7}};  // s between, s = u, s = σ_min
  auto soft = [&](const ctm::Jump& student) {
    Generator g(6);
    return ctm::soft_consistency(student, model_of(average), exact_denoiser, clean, places, options, g);
  };
  ctm::SoftConsistency at = soft(model_of(net));
  CHECK_FALSE(at.target.requires_grad());
  sum(at.losses).backward();
  for (const Tensor& p : average.parameters()) CHECK_FALSE(p.grad().defined());
  // differences with the target as it was
  auto loss = [&] { return sum(consistency_distances(options.metric, soft(model_of(net)).estimate, at.target, 0)).item(); };
  for (const Tensor& w : net.parameters()) {
    auto slope = to_vector(w.grad());
    auto* element = static_cast<double*>(w.raw_data());
    for (int64_t i = 0; i < w.numel(); i += 5) {
      double value = element[i], h = 1e-6;
      element[i] = value + h;
      double above = loss();
      element[i] = value - h;
      double below = loss();
      element[i] = value;
      CHECK(std::abs(slope[static_cast<size_t>(i)] - (above - below) / (2 * h)) <= 1e-6 + 1e-5 * std::abs(above - below) / (2 * h));
    }
  }
}

TEST_CASE("ctm: with one step and jumps to the end it has consistency distillation's target") {
  TimeMlp net = small_network(1), average = small_network(2);
  ctm::CtmOptions options{.levels = 8, .max_steps = 1};
  Tensor clean = test::sample({4, 2}, 4);
  ctm::Places places{1, {0, 2, 4, 6}, {7, 7, 7, 7}};
  Generator g(6), same(6);
  ctm::SoftConsistency at = ctm::soft_consistency(model_of(net), model_of(average), exact_denoiser, clean, places, options, g);
  auto grid = options.grid();
  Tensor t = levels_at(grid, places.from, clean), u = levels_at(grid, places.from, clean, 1), end = full({4}, grid.back(), f64);
  Tensor x_t = clean + per_example(t, clean) * randn_like(clean, &same), x_u = ode_step(Solver::heun, exact_denoiser, x_t, t, u);
  CHECK(test::difference(at.estimate, model_of(net).jump(x_t, t, end)) < 1e-12);
  CHECK(test::difference(at.target, model_of(net).jump(x_u, u, end)) < 1e-12);
}

TEST_CASE("ctm: the objective adds the losses with weights that make their gradients on the last layer equal") {
  TimeMlp net = small_network(1), average = small_network(2);
  average.requires_grad_(false);
  ctm::Parts parts{model_of(net), model_of(average), exact_denoiser, net.last_weight()};
  Tensor w = tensor({{0.5}, {-1.0}}, f64);
  parts.discriminator = [&](const Tensor& x) { return matmul(x, w); };
  Generator g(7);
  ctm::Objective at = ctm::objective(parts, test::sample({16, 2}, 5), {}, g);
  CHECK(at.loss.item() ==
        doctest::Approx(at.consistency + at.denoising_weight * at.denoising + at.adversarial_weight * at.adversarial).epsilon(1e-9));
  CHECK((at.denoising > 0 && at.denoising_weight > 0 && at.denoising_weight < 1e4));
  CHECK((at.adversarial_weight >= 0.01 && at.adversarial_weight <= 10));
  CHECK(at.adversarial == doctest::Approx(-mean(matmul(at.estimate, w)).item()).epsilon(1e-12));
  ctm::Objective plain = ctm::objective({model_of(net), model_of(average), exact_denoiser, net.last_weight()}, test::sample({16, 2}, 5),
                                        {.denoising = false}, g);
  CHECK(plain.loss.item() == plain.consistency);
  Tensor clean = tensor({{2.0, 0.0}, {0.5, 0.0}}, f64), fake = tensor({{-1.0, 1.0}, {4.0, 0.0}}, f64);  // Dis: 1, 0.25; −1.5, 2
  CHECK(ctm::discriminator_objective(parts.discriminator, clean, fake).item() == doctest::Approx((0 + 0.75) / 2 + (0 + 3) / 2.0));
}

TEST_CASE("ctm: one step is the same for every gamma, and exact jumps sample the data with any number") {
  TimeMlp net = small_network(1);
  manual_seed(8);
  Tensor x = randn({5, 2}, {.dtype = f64}) * 80.0;
  Tensor one_jump = ctm::gamma_sample(model_of(net), x, {80, 0.002}, 0);
  CHECK(test::same_bits(one_jump, ctm::gamma_sample(model_of(net), x, {80, 0.002}, 1)));
  CHECK_FALSE(
      test::same_bits(ctm::gamma_sample(model_of(net), x, karras_sigmas(3), 0), ctm::gamma_sample(model_of(net), x, karras_sigmas(3), 1)));
  Tensor start = randn({4000, 1}, {.dtype = f64}) * std::sqrt(80 * 80 + 0.25);
  for (double gamma : {0.0, 0.5, 1.0}) {
    CAPTURE(gamma);
    Tensor y = ctm::gamma_sample(exact_jump, start, karras_sigmas(6), gamma);
    CHECK(std::abs(var(y).item() - 0.25) < 4 * 0.25 * std::sqrt(2 / 4000.0));
    CHECK(std::abs(mean(y).item()) < 4 * 0.5 / std::sqrt(4000.0));
  }
}

TEST_CASE("ctm: what cannot be is an error of one line") {
  CHECK_THROWS_WITH_AS(ctm::jump_towards(point(1), point(1), one(1), one(2)),
                       "ctm: a jump goes down to a level 0 < s <= t, got s 2 and t 1", ValueError);
  CHECK_THROWS_WITH_AS(ctm::jump_towards(point(1), point(1), one(0), one(0)), "ctm: the level t must be positive, it is 0",
                       ValueError);
  CHECK_THROWS_WITH_AS(ctm::exact_estimate(point(1), point(1), one(1), one(1)), "ctm: at s = t every estimate leads to x", ValueError);
  CHECK_THROWS_WITH_AS(ctm::gamma_sample(exact_jump, point(1), karras_sigmas(3), 1.5),
                       "gamma_step: gamma must lie in [0, 1], it is 1.5", ValueError);
  CHECK_THROWS_WITH_AS(ctm::gamma_sample(exact_jump, point(1), {1, 2}, 0),
                       "gamma_sample: times must descend, 1 is followed by 2", ValueError);
  CHECK_THROWS_WITH_AS(ctm::gamma_sample(exact_jump, point(1), {1}, 0), "gamma_sample: needs at least 2 times, got 1", ValueError);
  CHECK_THROWS_WITH_AS((ctm::CtmOptions{.levels = 18, .max_steps = 18}.check()),
                       "ctm: max_steps must lie in [1, levels), got 18 of 18 levels", ValueError);
  CHECK_THROWS_WITH_AS(ctm::step_probabilities(0), "step_probabilities: max_steps must be at least 1, it is 0", ValueError);
  ctm::Places none{1, {}, {}};
  CHECK_THROWS_WITH_AS(ctm::soft_consistency(exact_jump, exact_jump, exact_denoiser, zeros({0, 1}), none, {}),
                       "ctm: the batch is empty: [0, 1]", ValueError);
  CHECK_THROWS_WITH_AS(ctm::soft_consistency(exact_jump, exact_jump, exact_denoiser, zeros({2, 1}), none, {}),
                       "ctm: 0 and 0 places for a batch of 2", ShapeError);
}

TEST_CASE("ctm: the experiment runs, with one step the same for every gamma") {
  methods::Results results =
      methods::run_experiment({"generative", "ctm", &ctm::experiment, {}}, {.budget = methods::Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == ctm::experiment().variants.size());
  auto value = [&](const std::string& variant, const std::string& metric) {
    for (const auto& cell : results.cells)
      for (const auto& [name, v] : cell.measured.metrics)
        if (cell.variant == variant && name == metric) return v;
    return -1.0;
  };
  CHECK(value("CTM, γ = 0", "FD, 1 step") == value("CTM, γ = 1", "FD, 1 step"));
  CHECK(value("CTM, γ = 0", "FD, 8 steps") != value("CTM, γ = 1", "FD, 8 steps"));
  CHECK(value("teacher, Heun", "FD, 18 steps") < value("teacher, Heun", "FD, 1 step"));
  for (const auto& cell : results.cells)
    for (const auto& [name, v] : cell.measured.metrics) CHECK(std::isfinite(v));
}

TEST_CASE("ctm: the full budget's form on images runs with U-Nets") {
  test::check_image_form(ctm::experiment(),
                         [](methods::Cell& cell, const methods::ImageProblem& shapes) { ctm::run_on_images(cell, shapes, 4, 4, 12); },
                         {"CD", "CTM + GAN"});
}
