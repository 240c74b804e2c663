// SCott: its step against plain consistency distillation, the hinge, who gets which gradient, a latent form with guidance, and the
// experiment. Worked steps of the SDE solvers (DDIM's eta in both scales, ER-SDE) are checked in
// tests/models/diffusion/stochastic_solver_test, both ways to count guidance in latent_consistency_test.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "methods/generative/scott/scott.h"
#include "methods/runner.h"
#include "models/diffusion/guidance.h"
#include "models/diffusion/teacher_discriminator.h"
#include "models/diffusion/time_mlp.h"
#include "models/nn/linear.h"
#include "models/optim/adam.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "tests/methods/generative/image_form.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::diffusion;

namespace plumb::methods::scott {
Experiment experiment();
void run_on_images(Cell& cell, const ImageProblem& problem, int64_t steps, int64_t batch, int64_t samples);
}  // namespace plumb::methods::scott

namespace scott = methods::scott;

namespace {

std::vector<double> grid(int64_t n = 12) { return karras_sigmas(n, 0.002, 80, 7, GridOrder::ascending); }

Denoiser consistency(const TimeMlp& network) {
  return [&network](const Tensor& x, const Tensor& sigma) {
    return ConsistencyPrecondition().denoise([&](const Tensor& y, const Tensor& noise) { return network(y, noise); }, x, sigma);
  };
}
Denoiser edm(const TimeMlp& network) {
  return [&network](const Tensor& x, const Tensor& sigma) {
    return EdmPrecondition().denoise([&](const Tensor& y, const Tensor& noise) { return network(y, noise); }, x, sigma);
  };
}

}  // namespace

TEST_CASE("scott: without noise, in one solver step and without a discriminator it is consistency distillation, bit for bit") {
  auto stepped = [](bool ours) {
    manual_seed(1);
    TimeMlp teacher({.features = 4, .hidden = {16, 16}}), student = teacher;
    optim::Adam adam(student.parameters(), {.lr = 1e-3});
    optim::Ema<TimeMlp> target(student, {.decay = 0.95});
    scott::Distillation<TimeMlp> distillation(
        student, consistency, {.levels = grid(), .interval = 1, .sub_steps = 1, .rule = NoiseRule::eta(0), .adversarial = 0});
    PairSampler pairs(
        {.curriculum = ConsistencyCurriculum::constant, .s0 = 1, .s1 = 11, .law = IntervalLaw::uniform, .weight = IntervalWeight::one});
    for (int64_t k = 0; k < 3; ++k) {
      Tensor clean = randn({32, 4}), loss;
      if (ours) {
        loss = distillation.objective(distillation.draw(clean, edm(teacher))).loss;
      } else {
        NoisePair pair = distilled(pairs.draw(k, clean), edm(teacher), Solver::euler);
        loss = mean(consistency_losses(pair, consistency(student), consistency(target.model), ConsistencyMetric::mean_square));
      }
      adam.zero_grad();
      loss.backward();
      adam.step();
      distillation.update();
      target.update(student);
    }
    return student;
  };
  TimeMlp a = stepped(true), b = stepped(false);
  for (size_t i = 0; i < a.parameters().size(); ++i) CHECK(test::same_bits(a.parameters()[i], b.parameters()[i]));
}

TEST_CASE("scott: pairs lie three intervals apart, and what the solver adds is new in every sub-step") {
  manual_seed(2);
  TimeMlp student({.features = 2, .hidden = {4}});
  auto drawn = [&](double eta, int64_t sub_steps) {
    scott::Distillation<TimeMlp> distillation(student, consistency,
                                              {.levels = grid(125), .sub_steps = sub_steps, .rule = NoiseRule::eta(eta)});
    Generator g(3);
    int64_t calls = 0;
    Denoiser teacher = [&](const Tensor& x, const Tensor& sigma) {
      ++calls;
      return x * 0.25 / (per_example(square(sigma), x) + 0.25);
    };
    NoisePair pair = distillation.draw(zeros({2000, 2}, f64), teacher, g);
    CHECK(calls == sub_steps);
    return pair;
  };
  NoisePair plain = drawn(0, 3), noisy = drawn(0.5, 3);
  auto all = grid(125);
  for (size_t b = 0; b < 50; ++b) {
    auto i = static_cast<size_t>(plain.place[b]);
    CHECK(i <= 121);
    CHECK(to_vector(plain.low)[b] == all[i]);
    CHECK(to_vector(plain.high)[b] == all[i + 3]);
  }
  CHECK(test::same_bits(plain.x_high, noisy.x_high));  // only the starting point is shared
  // the noise of three steps adds up as that of independent ones: the variance of the difference for a linear teacher
  auto expected = [&](size_t b) {
    double total = 0;
    auto i = static_cast<size_t>(plain.place[b]);
    for (size_t k = 3; k >= 1; --k) {
      StepShares s = NoiseRule::eta(0.5).at(all[i + k], all[i + k - 1]);
      double slope = 0.25 / (all[i + k] * all[i + k] + 0.25), gain = slope + (1 - slope) * s.keep;
      total = total * gain * gain + s.noise * s.noise;
    }
    return total;
  };
  auto means = [&](size_t b) {  // where the noise-free part of the noisy rule leads
    auto i = static_cast<size_t>(plain.place[b]);
    double gain = 1;
    for (size_t k = 3; k >= 1; --k) {
      double slope = 0.25 / (all[i + k] * all[i + k] + 0.25);
      gain *= slope + (1 - slope) * NoiseRule::eta(0.5).at(all[i + k], all[i + k - 1]).keep;
    }
    return gain;
  };
  double z2 = 0;
  auto high = to_vector(noisy.x_high), low = to_vector(noisy.x_low);
  for (size_t b = 0; b < 2000; ++b)
    for (size_t d = 0; d < 2; ++d) {
      double r = low[2 * b + d] - means(b) * high[2 * b + d];
      z2 += r * r / expected(b) / 4000;
    }
  CHECK(z2 == doctest::Approx(1).epsilon(0.1));  // deviation 0.022
}

TEST_CASE("scott: the hinge losses, worked") {
  Tensor real = tensor({{0.5}, {1.5}}, f64), fake = tensor({{-0.2}, {-1.3}}, f64), sigma = ones({2}, f64);
  scott::Discriminator itself = [](const Tensor& x, const Tensor&) { return flatten(x, 0); };
  CHECK(scott::discriminator_objective(itself, real, fake, sigma).item() == doctest::Approx(0.65).epsilon(1e-10));
  NoisePair pair{fake, sigma, fake, sigma, ones({2}, f64)};
  Denoiser identity = [](const Tensor& x, const Tensor&) { return x * 1.0; };
  scott::Objective at = scott::objective(pair, identity, identity, {.levels = grid(), .adversarial = 0.4}, itself);
  CHECK(at.consistency == 0);
  CHECK(at.adversarial == doctest::Approx(0.75).epsilon(1e-10));
  CHECK(at.loss.item() == doctest::Approx(0.3).epsilon(1e-10));
}

TEST_CASE("scott: gradients reach the student alone, and agree with differences of both losses") {
  manual_seed(4);
  TimeMlp teacher({.features = 2, .hidden = {6}}), student({.features = 2, .hidden = {6}});
  TeacherDiscriminator<TimeMlp> judge(teacher, 6, {.rank = 2});
  for (nn::Module* m : {static_cast<nn::Module*>(&teacher), static_cast<nn::Module*>(&student), static_cast<nn::Module*>(&judge)})
    m->to(f64);
  {
    NoGrad off;
    for (Tensor p : judge.trained()) copy_data(test::sample(p.shape(), 5), p);
  }  // adapters that change something
  scott::Discriminator d = [&](const Tensor& x, const Tensor& sigma) { return judge(x, sigma); };
  scott::Distillation<TimeMlp> distillation(student, consistency, {.levels = grid(), .rule = NoiseRule::eta(0.3)});
  NoisePair pair = distillation.draw(test::sample({6, 2}, 3), edm(teacher));
  auto loss = [&] { return distillation.objective(pair, d).loss; };
  scott::Objective at = distillation.objective(pair, d);
  at.loss.backward();
  for (const Tensor& p : teacher.parameters()) CHECK_FALSE(p.grad().defined());
  for (const Tensor& p : judge.parameters()) CHECK_FALSE(p.grad().defined());
  for (const Tensor& p : distillation.target().parameters()) CHECK_FALSE(p.grad().defined());
  double total = 0;
  for (const Tensor& w : student.parameters()) {
    auto slope = to_vector(w.grad());
    auto* value = static_cast<double*>(w.raw_data());
    for (int64_t i = 0; i < w.numel(); i += 3) {
      double before = value[i], h = 1e-6;
      auto moved = [&](double to) { return value[i] = to, loss().item(); };
      double numeric = (moved(before + h) - moved(before - h)) / (2 * h);
      value[i] = before;
      total += std::abs(numeric);
      CHECK(std::abs(slope[static_cast<size_t>(i)] - numeric) < 1e-5 * std::max(1.0, std::abs(numeric)));
    }
  }
  CHECK(total > 0.1);
  student.zero_grad();
  scott::discriminator_objective(d, test::sample({6, 2}, 9), at.estimate, pair.high).backward();
  for (const Tensor& p : student.parameters()) CHECK_FALSE(p.grad().defined());
  bool reached = false;
  for (const Tensor& p : judge.trained()) reached = reached || p.grad().defined();
  CHECK(reached);
}

TEST_CASE("scott: on times of a VP schedule with a guided teacher, the target is the student's value for the mean of the SDE's steps") {
  VpSchedule schedule = VpSchedule::scaled_linear();
  scott::Options options{.levels = lcm_levels(schedule, 125), .rule = NoiseRule::eta(0.3)};
  PairSampler pairs(options.pairs());
  Generator g(1);
  NoisePair pair = pairs.draw(0, zeros({64, 1}, f64), g);
  for (size_t b = 0; b < 64; ++b) {  // 24 of 1,000 times apart, in steps of 8
    double from = std::round(schedule.time_of(to_vector(pair.path[0])[b]));
    for (size_t k = 1; k <= 3; ++k)
      CHECK(std::round(schedule.time_of(to_vector(pair.path[k])[b])) == std::max(0.0, from - 8 * static_cast<double>(k)));
  }
  Denoiser c = [](const Tensor&x, const Tensor&) { return x * 0.0 + 1.0; }, u = [](const Tensor&x, const Tensor&) { return x * 0.0; };
  NoisePair guided = distilled(pair, guided_denoiser(c, u, full({64}, 2.0, f64)), NoiseRule::eta(0), 3, g);
  for (size_t b = 0; b < 64; ++b) {  // D = 3 everywhere: along its line
    double ratio = to_vector(pair.low)[b] / to_vector(pair.high)[b];
    CHECK(to_vector(guided.x_low)[b] == doctest::Approx(3 + ratio * (to_vector(pair.x_high)[b] - 3)).epsilon(1e-9));
  }
}

TEST_CASE("scott: what cannot be is an error of one line") {
  TimeMlp student({.features = 2, .hidden = {4}});
  auto made = [&](scott::Options options) { scott::Distillation<TimeMlp>(student, consistency, std::move(options)); };
  CHECK_THROWS_WITH_AS(made({.levels = grid(), .sub_steps = 2}), "scott: 2 sub-steps do not divide 3 intervals", ValueError);
  CHECK_THROWS_WITH_AS(made({.levels = grid(), .adversarial = -1}), "scott: the adversarial weight must not be negative, it is -1",
                       ValueError);
  CHECK_THROWS_WITH_AS(made({.levels = {1, 2, 2, 3}}),
                       "consistency: noise levels must ascend from above 0, 2 is followed by 2", ValueError);
  CHECK_THROWS_WITH_AS(made({.levels = {}}), "scott: the grid has at least 2 noise levels, not 0", ValueError);
  CHECK_THROWS_WITH_AS(made({.levels = grid(), .decay = 1.5}), "scott: the target's decay must lie in [0, 1], it is 1.5", ValueError);
  CHECK_THROWS_WITH_AS(NoiseRule::eta(1.2), "noise_rule: eta must lie in [0, 1], it is 1.2", ValueError);
}

TEST_CASE("scott: the experiment runs; students of a short teacher stay near it") {
  methods::Results results =
      methods::run_experiment({"generative", "scott", &scott::experiment, {}}, {.budget = methods::Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == scott::experiment().variants.size());
  for (const auto& cell : results.cells) {
    CAPTURE(cell.variant);
    for (const auto& [name, value] : cell.measured.metrics) {
      CAPTURE(name);
      CHECK(std::isfinite(value));
    }
    CHECK(cell.measured.metrics[0].second < 100);
  }
}

TEST_CASE("scott: the full budget's form on images runs with U-Nets") {
  test::check_image_form(scott::experiment(),
                         [](methods::Cell& cell, const methods::ImageProblem& shapes) { scott::run_on_images(cell, shapes, 4, 4, 12); },
                         {"LCM", "SCott"});
}
