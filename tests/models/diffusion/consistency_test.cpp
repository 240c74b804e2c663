// Consistency training: curricula, pairs of levels, losses, and who gets which gradient.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "models/diffusion/consistency_training.h"
#include "models/diffusion/time_mlp.h"
#include "models/optim/adam.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::diffusion;

TEST_CASE("consistency: curricula, worked numbers of both") {
  CHECK(doubling_grid_size(0, 400'000, 10, 1280) == 11);
  CHECK(doubling_grid_size(49'999, 400'000, 10, 1280) == 11);
  CHECK(doubling_grid_size(50'000, 400'000, 10, 1280) == 21);
  CHECK(doubling_grid_size(100'000, 400'000, 10, 1280) == 41);
  CHECK(doubling_grid_size(399'999, 400'000, 10, 1280) == 1281);
  CHECK(doubling_grid_size(1600, 8000, 10, 160) == 21);
  CHECK(doubling_grid_size(7999, 8000, 10, 160) == 161);
  CHECK(doubling_grid_size(1'000'000, 8000, 10, 160) == 161);  // training that goes on
  CHECK(doubling_grid_size(5, 10, 7, 7) == 8);
  CHECK(growing_grid_size(0, 8000, 2, 150) == 2);
  CHECK(growing_grid_size(1000, 8000, 2, 150) == 54);
  CHECK(growing_grid_size(4000, 8000, 2, 150) == 107);
  CHECK(growing_grid_size(7999, 8000, 2, 150) == 151);
  CHECK(grid_ema_decay(11, 2, 0.9) == doctest::Approx(std::pow(0.9, 2.0 / 11)).epsilon(1e-12));
  CHECK(grid_ema_decay(5, 2, 1) == 1);
  CHECK_THROWS_WITH_AS(doubling_grid_size(0, 100, 10, 5), "doubling_grid_size: needs 1 <= s0 <= s1, got 10 and 5", ValueError);
  CHECK_THROWS_WITH_AS(doubling_grid_size(0, 3, 10, 160), "doubling_grid_size: 3 steps are too few for stages from 10 to 160 intervals",
                       ValueError);
  CHECK_THROWS_WITH_AS(growing_grid_size(-1, 100, 2, 5), "growing_grid_size: step -1 of 100", ValueError);
  CHECK_THROWS_AS(grid_ema_decay(0, 2, 0.9), ValueError);
}

TEST_CASE("consistency: pairs share one noise, lie on neighbouring levels, and carry the weight of their interval") {
  PairSampler sampler({.steps = 8000, .s0 = 10, .s1 = 160});
  Generator g(3);
  Tensor clean = test::sample({200, 4}, 1);
  NoisePair p = sampler.draw(0, clean, g);
  auto grid = karras_sigmas(11, 0.002, 80, 7, GridOrder::ascending);
  auto high = to_vector(p.high), low = to_vector(p.low), weight = to_vector(p.weight);
  Tensor z_high = (p.x_high - clean) / per_example(p.high, clean), z_low = (p.x_low - clean) / per_example(p.low, clean);
  CHECK(max(abs(z_high - z_low)).item() < 1e-10);  // σ as small as 0.002: 16 digits less three
  CHECK(std::abs(mean(square(z_high)).item() - 1) < 4 * std::sqrt(2 / 800.0));
  for (size_t b = 0; b < high.size(); ++b) {
    size_t i = 0;
    while (i + 1 < grid.size() && grid[i] != low[b]) ++i;
    REQUIRE(i + 1 < grid.size());
    CHECK(high[b] == grid[i + 1]);
    CHECK(weight[b] == 1 / (grid[i + 1] - grid[i]));
  }
}

TEST_CASE("consistency: worked weights of a grid of 11 levels, computed in f64 also for f32 data") {
  auto grid = karras_sigmas(11, 0.002, 80, 7, GridOrder::ascending);
  std::vector<double> wanted{67.9313, 14.6271, 4.28824, 1.54528, 0.645244, 0.300867, 0.152844, 0.0831479, 0.0478345, 0.0288299};
  PairSampler sampler({.steps = 8000, .s0 = 10, .s1 = 160, .law = IntervalLaw::uniform});
  Generator g(1);
  NoisePair p = sampler.draw(0, zeros({400, 1}), g);
  std::vector<int> seen(wanted.size());
  auto low = to_vector(p.low), weight = to_vector(p.weight);
  for (size_t b = 0; b < low.size(); ++b)
    for (size_t i = 0; i < wanted.size(); ++i)
      if (static_cast<float>(grid[i]) == static_cast<float>(low[b])) {
        CHECK(weight[b] == doctest::Approx(wanted[i]).epsilon(1e-5));
        ++seen[i];
      }
  for (int n : seen) CHECK(n > 15);  // 40 expected, deviation 6
}

TEST_CASE("consistency: intervals follow the lognormal law by their masses") {
  PairSampler sampler({.steps = 8000, .s0 = 10, .s1 = 160});
  auto grid = karras_sigmas(11, 0.002, 80, 7, GridOrder::ascending);
  auto p = lognormal_bin_probabilities(grid);
  Generator g(5);
  constexpr int64_t n = 20'000;
  auto low = to_vector(sampler.draw(0, zeros({n, 1}, f64), g).low);
  for (size_t i = 0; i < p.size(); ++i) {
    auto count = static_cast<double>(std::count(low.begin(), low.end(), grid[i]));
    CHECK(std::abs(count / n - p[i]) < 4.5 * std::sqrt(p[i] * (1 - p[i]) / n));
  }
}

TEST_CASE("consistency: a distilled pair's lower point is where one step of the teacher's ODE leads") {
  Denoiser teacher = [](const Tensor& x, const Tensor& sigma) { return x * 0.25 / (per_example(square(sigma), x) + 0.25); };
  NoisePair p{tensor({{3.0}}, f64), full({1}, 5.0, f64), tensor({{9.0}}, f64), full({1}, 1.0, f64), ones({1}, f64)};
  CHECK(distilled(p, teacher).x_low.item() == doctest::Approx(0.813861).epsilon(1e-5));
  CHECK(distilled(p, teacher, Solver::euler).x_low.item() == doctest::Approx(0.623762).epsilon(1e-5));
}

TEST_CASE("consistency_losses: student and target see one dropout mask, and the generator goes on as if only the student had drawn") {
  manual_seed(4);
  TimeMlp net({.features = 3, .hidden = {16, 16}, .dropout = 0.5});
  auto of = [&](const Tensor& x, const Tensor&) { return net(x, zeros({x.size(0)})); };
  Tensor x = randn({8, 3});
  NoisePair p{x, ones({8}), x, ones({8}), ones({8})};
  Generator before = default_generator();
  Tensor loss = consistency_losses(p, of, of, ConsistencyMetric::mean_square);
  for (double v : to_vector(loss)) CHECK(v == 0);  // equal inputs, equal masks: equal answers
  Generator after = default_generator();
  default_generator() = before;
  of(x, {});
  CHECK(default_generator().offset() == after.offset());
  CHECK(max(abs(of(x, {}) - of(x, {}))).item() > 0);  // two masks do differ
}

TEST_CASE("consistency_losses: no gradient reaches the target, and the student's agrees with differences while the target is frozen") {
  manual_seed(5);
  TimeMlp net({.features = 2, .hidden = {5}});
  net.to(f64);
  TimeMlp frozen = net;
  ConsistencyPrecondition precondition;
  auto of = [&](const TimeMlp& m) -> Denoiser {
    return [&](const Tensor& x, const Tensor& s) {
      return precondition.denoise([&](const Tensor& y, const Tensor& n) { return m(y, n); }, x, s);
    };
  };
  PairSampler sampler({.steps = 8000, .s0 = 10, .s1 = 160});
  NoisePair p = sampler.draw(0, test::sample({4, 2}, 2), default_generator());
  Tensor loss = sum(consistency_losses(p, of(net), of(net), ConsistencyMetric::pseudo_huber, 0.01));
  loss.backward();
  for (const Tensor& w : net.parameters()) {
    auto slope = to_vector(w.grad());
    auto* at = static_cast<double*>(w.raw_data());
    for (int64_t i = 0; i < w.numel(); i += 3) {
      double value = at[i], h = 1e-6;
      auto moved = [&](double to) {
        return at[i] = to, sum(consistency_losses(p, of(net), of(frozen), ConsistencyMetric::pseudo_huber, 0.01)).item();
      };
      double numeric = (moved(value + h) - moved(value - h)) / (2 * h);
      at[i] = value;
      CHECK(slope[static_cast<size_t>(i)] == doctest::Approx(numeric).epsilon(1e-5));
    }
  }
}

TEST_CASE("ConsistencyTraining: the target is the student, or an average that follows by mu(k), or stands still at mu = 1") {
  manual_seed(6);
  auto trained = [](ConsistencyRecipe recipe, auto&& check) {
    TimeMlp student({.features = 4, .hidden = {8}});
    TimeMlp start = student;
    recipe.pairs.steps = 100, recipe.pairs.s1 = 40;
    ConsistencyTraining<TimeMlp> training(student, recipe);
    optim::Adam adam(student.parameters(), {.lr = 0.01});
    for (int64_t k = 0; k < 3; ++k) {
      TimeMlp before = training.target();
      adam.zero_grad();
      mean(training.losses(k, randn({16, 4}))).backward();
      adam.step();
      training.update(k);
      check(training, student.parameters()[0], before.parameters()[0], start.parameters()[0], k);
    }
  };
  trained({}, [](auto& t, const Tensor& student, const Tensor&, const Tensor&, int64_t k) {
    CHECK(t.decay(k) == 0);
    CHECK(test::same_bits(t.target().parameters()[0], student));
  });
  trained({.target = ConsistencyTarget::average, .ema_mu0 = 1},
          [](auto& t, const Tensor& student, const Tensor&, const Tensor& start, int64_t) {
            CHECK(test::same_bits(t.target().parameters()[0], start));
            CHECK_FALSE(test::same_bits(student, start));
          });
  trained({.target = ConsistencyTarget::average}, [](auto& t, const Tensor& student, const Tensor& before, const Tensor&, int64_t k) {
    double mu = grid_ema_decay(t.levels(k), 2, 0.9);
    CHECK(t.decay(k) == mu);
    CHECK(test::difference(t.target().parameters()[0], before * mu + student * (1 - mu)) < 1e-6);
  });
  trained({.target = ConsistencyTarget::average, .decay = 0}, [](auto& t, const Tensor& student, const Tensor&, const Tensor&, int64_t) {
    CHECK(test::difference(t.target().parameters()[0], student) < 1e-6);
  });
}

TEST_CASE("consistency: what makes no grid, no batch or no distance is an error of one line") {
  CHECK_THROWS_WITH_AS(PairSampler({.sigma_min = 0}),
                       "karras_sigmas: needs 0 < sigma_min < sigma_max and rho > 0, got 0, 80 and 7", ValueError);
  CHECK_THROWS_AS(PairSampler({.sigma_min = 2, .sigma_max = 1}), ValueError);
  CHECK_THROWS_WITH_AS(PairSampler({.s0 = 20, .s1 = 10}), "consistency: needs 1 <= s0 <= s1, got 20 and 10", ValueError);
  CHECK_THROWS_WITH_AS(PairSampler({.std = 0}), "consistency: std must be positive, it is 0", ValueError);
  PairSampler sampler;
  CHECK_THROWS_WITH_AS(sampler.draw(0, zeros({0, 4})), "consistency: the batch is empty: [0, 4]", ValueError);
  Tensor u = zeros({2, 3});
  CHECK_THROWS_WITH_AS(consistency_distances(ConsistencyMetric::pseudo_huber, u, u, -1),
                       "pseudo_huber_distance: c must be positive, it is -1", ValueError);
  CHECK_THROWS_AS(consistency_distances(ConsistencyMetric::mean_square, u, zeros({2, 4}), 0), ShapeError);
  CHECK(pseudo_huber_scale(3072) == doctest::Approx(0.0299300).epsilon(1e-5));
  CHECK(pseudo_huber_scale(64) == doctest::Approx(0.00432).epsilon(1e-9));
  CHECK_THROWS_AS(pseudo_huber_scale(0), ValueError);
}

TEST_CASE("consistency: an average that the caller keeps is that of one kept inside, and is left alone where the recipe wants none") {
  ConsistencyRecipe recipe{.pairs = {.steps = 100, .s0 = 4, .s1 = 8}, .target = ConsistencyTarget::average, .decay = 0.7};
  manual_seed(3);
  TimeMlp student({.features = 2, .hidden = {4}}), average = student;
  ConsistencyTraining<TimeMlp> inside(student, recipe), outside(student, average, recipe);
  CHECK(&outside.target() == &average);
  CHECK(outside.decay(0) == 0.7);
  for (const Tensor& p : student.parameters()) copy_data(p.detach() + 1, const_cast<Tensor&>(p));
  inside.update(0), outside.update(0);
  std::vector<Tensor> a = inside.target().parameters(), b = average.parameters(), c = student.parameters();
  for (size_t i = 0; i < a.size(); ++i) {
    CHECK(test::same_bits(a[i], b[i]));
    CHECK_FALSE(test::same_bits(b[i], c[i]));
  }
  recipe.target = ConsistencyTarget::student;
  ConsistencyTraining<TimeMlp> alone(student, average, recipe);
  CHECK(&alone.target() == &student);
  alone.update(1);
  for (size_t i = 0; i < a.size(); ++i) CHECK(test::same_bits(average.parameters()[i], a[i]));
}
