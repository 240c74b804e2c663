// Pairs of consistency models that lie several intervals apart, on grids of the caller's, and what goes with them.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "models/diffusion/consistency_training.h"
#include "models/diffusion/time_mlp.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::diffusion;

namespace {
Tensor teacher(const Tensor& x, const Tensor& sigma) { return x * 0.25 / (per_example(square(sigma), x) + 0.25); }
}  // namespace

TEST_CASE("pairs: any ascending grid, several intervals apart, with the levels between") {
  std::vector<double> grid{0.1, 0.3, 1, 4, 9, 20};
  PairSampler sampler({.law = IntervalLaw::uniform, .levels = grid, .stride = 3});
  CHECK(sampler.levels(0) == 6);
  Generator g(1);
  NoisePair p = sampler.draw(0, test::sample({600, 2}, 1), g);
  REQUIRE(p.path.size() == 4);
  std::vector<int> seen(3);
  for (size_t b = 0; b < 600; ++b) {
    auto i = static_cast<size_t>(p.place[b]);
    REQUIRE(i < 3);
    ++seen[i];
    for (size_t k = 0; k < 4; ++k) CHECK(to_vector(p.path[k])[b] == grid[i + 3 - k]);
    CHECK(to_vector(p.weight)[b] == 1 / (grid[i + 3] - grid[i]));
  }
  for (int n : seen) CHECK(std::abs(n - 200) < 60);  // deviation 11.5
  CHECK(test::same_bits(p.high, p.path.front()));
  CHECK(test::same_bits(p.low, p.path.back()));
  // the lognormal law's mass of the whole stretch
  auto bins = lognormal_bin_probabilities(grid);
  PairSampler lognormal({.levels = grid, .stride = 3});
  NoisePair q = lognormal.draw(0, zeros({20'000, 1}, f64), g);
  double total = 0, first = bins[0] + bins[1] + bins[2];
  for (size_t i = 0; i < 3; ++i) total += bins[i] + bins[i + 1] + bins[i + 2];
  auto count = static_cast<double>(std::ranges::count(q.place, 0));
  CHECK(std::abs(count / 20'000 - first / total) < 0.016);
}

TEST_CASE("pairs: distilled by the deterministic rule as by Euler's step, by sub-steps along the path, with fresh noise in each") {
  PairSampler one({.steps = 100, .s0 = 10, .s1 = 10}), three({.steps = 100, .s0 = 10, .s1 = 10, .stride = 3});
  Tensor clean = test::sample({16, 2}, 1);
  Generator g(3);
  NoisePair p = one.draw(0, clean, g);
  CHECK(test::same_bits(distilled(p, teacher, NoiseRule::eta(0)).x_low, distilled(p, teacher, Solver::euler).x_low));
  NoisePair q = three.draw(0, clean, g);
  Tensor y = q.x_high;
  for (size_t k = 0; k < 3; ++k) y = ode_step(Solver::euler, teacher, y, q.path[k], q.path[k + 1]);
  CHECK(test::same_bits(distilled(q, teacher, NoiseRule::eta(0), 3).x_low, y));
  CHECK(test::same_bits(distilled(q, teacher, NoiseRule::eta(0), 1).x_low, ode_step(Solver::euler, teacher, q.x_high, q.high, q.low)));
  Generator a(5), b(5);
  NoisePair noisy = distilled(q, teacher, NoiseRule::eta(0.3), 3, a);
  randn_like(clean, &b);
  CHECK(a.offset() == 3 * b.offset());
  CHECK(test::difference(noisy.x_low, y) > 0.01);
  CHECK(test::same_bits(noisy.x_high, q.x_high));
  CHECK_THROWS_WITH_AS(distilled(q, teacher, NoiseRule::eta(0), 2),
                       "distilled: 2 steps of the solver do not divide the 3 intervals between the ends of a pair", ValueError);
}

TEST_CASE("pairs: grids that are none are errors of one line") {
  CHECK_THROWS_WITH_AS(PairSampler({.levels = {0.1, 0.3, 0.3}}),
                       "consistency: noise levels must ascend from above 0, 0.3 is followed by 0.3", ValueError);
  CHECK_THROWS_WITH_AS(PairSampler({.levels = {0.0, 0.3}}),
                       "consistency: noise levels must ascend from above 0, 0 is followed by 0", ValueError);
  CHECK_THROWS_WITH_AS(PairSampler({.levels = {0.1, 0.3}, .stride = 2}),
                       "consistency: pairs 2 intervals apart need more than 2 noise levels", ValueError);
  CHECK_THROWS_WITH_AS(PairSampler({.stride = 0}), "consistency: a pair lies at least 1 interval apart, not 0", ValueError);
}

TEST_CASE("low_noise_losses: worked, the mean over the selected alone, and 0 where none is") {
  NoisePair p{.x_high = {},
              .high = tensor({0.05, 3.0}, f64),
              .x_low = {},
              .low = {},
              .weight = {},
              .place = {1, 2},
              .levels = 11,
              .clean = tensor({{0.15, 0.1}, {0.0, 0.0}}, f64)};
  Tensor u = tensor({{0.1, 0.2}, {9.0, 9.0}}, f64);
  Tensor losses = low_noise_losses(p, u, 0.25);  // ⌊0.25 · 11⌋ = 2: only the first pair's number, 2, is low enough
  CHECK(mean(losses).item() == doctest::Approx(404 * 0.00625).epsilon(1e-10));
  CHECK(5 * mean(losses).item() == doctest::Approx(12.625).epsilon(1e-10));
  CHECK(to_vector(losses)[1] == 0);
  CHECK(mean(low_noise_losses(p, u, 0)).item() == 0);
  CHECK_THROWS_WITH_AS(low_noise_losses(p, u, 1.5), "low_noise_losses: the share must lie in [0, 1], it is 1.5", ValueError);
}

TEST_CASE("ConsistencyTraining: c follows the grid where a schedule is given, and the low-noise loss is added with its factor") {
  manual_seed(1);
  TimeMlp net({.features = 3, .hidden = {8}});
  net.to(f64);
  PairOptions pairs{.steps = 100, .s0 = 10, .s1 = 10};
  ConsistencyTraining<TimeMlp> plain(net, {.pairs = pairs, .metric = ConsistencyMetric::cauchy, .c = 0.2});
  ConsistencyTraining<TimeMlp> scheduled(
      net, {.pairs = pairs, .metric = ConsistencyMetric::cauchy, .c_of_levels = [](int64_t n) { return 2.2 / static_cast<double>(n); }});
  ConsistencyTraining<TimeMlp> both(
      net, {.pairs = pairs, .metric = ConsistencyMetric::cauchy, .c = 0.2, .low_noise_share = 0.5, .low_noise_factor = 5});
  Generator g(1);
  NoisePair p = plain.draw(0, test::sample({32, 3}, 1), g);
  CHECK(test::difference(plain.losses(p), scheduled.losses(p)) < 1e-12);
  Tensor u = consistency_answers(p, plain.denoiser(net), plain.denoiser(net)).student;
  CHECK(test::difference(both.losses(p), plain.losses(p) + 5 * low_noise_losses(p, u, 0.5)) < 1e-12);
}
