// LCSC: the quadratic on which averages are known not to be the best, distances, the search over real weights, and the experiment.
// Coefficients, combinations and operators are checked in tests/models/optim.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "methods/common/fixed_noise.h"
#include "methods/generative/lcsc/lcsc.h"
#include "methods/runner.h"
#include "models/nn/linear.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "tests/ops/samples.h"

using namespace plumb;
using optim::CheckpointBank;
using optim::Genes;

namespace plumb::methods::lcsc {
Experiment experiment();
}

namespace lcsc = methods::lcsc;

namespace {

const double kPath[5][2] = {{1, 0.3}, {0.8, -0.25}, {0.62, 0.2}, {0.5, -0.17}, {0.4, 0.14}};

// f(t) = ½ (t₁² + 10 t₂²) of a combination of the five
double quadratic(const Genes& a) {
  double t[2] = {0, 0};
  for (size_t i = 0; i < 5; ++i)
    for (size_t d = 0; d < 2; ++d) t[d] += a[i] * kPath[i][d];
  return 0.5 * (t[0] * t[0] + 10 * t[1] * t[1]);
}

}  // namespace

TEST_CASE("lcsc: on a quadratic averages are worked, two checkpoints are the best convex choice, and an affine one reaches the optimum") {
  CHECK(quadratic({0, 0, 0, 0, 1}) == doctest::Approx(0.178).epsilon(1e-9));
  CHECK(quadratic({0.2, 0.2, 0.2, 0.2, 0.2}) == doctest::Approx(0.230128).epsilon(1e-5));
  CHECK(quadratic(optim::ema_coefficients(5, 0.5)) == doctest::Approx(0.148083).epsilon(1e-5));
  CHECK(quadratic({0, 0, 0, 1 - 0.594233, 0.594233}) == doctest::Approx(0.0980639).epsilon(1e-5));
  CHECK(quadratic({-0.689106, -0.334969, 0.399888, 0.594756, 1.02943}) < 1e-9);
  Generator g(1);  // no convex combination is better
  for (int i = 0; i < 20'000; ++i) {
    Genes a(5);
    for (double& x : a) x = -std::log(g.next_double() + 1e-300);
    double total = std::accumulate(a.begin(), a.end(), 0.0);
    for (double& x : a) x /= total;
    CHECK(quadratic(a) > 0.0980638);
  }
}

TEST_CASE("lcsc: the search finds what no average and no convex combination can, with three seeds") {
  for (uint64_t seed : {1, 2, 3}) {
    Generator g(seed), h(seed);
    lcsc::Found some = lcsc::search(5, quadratic, {.search = {.evaluations = 400}}, g),
                more = lcsc::search(5, quadratic, {.search = {.evaluations = 2000}}, h);
    CAPTURE(seed);
    CHECK(some.fitness < 0.098);
    CHECK(more.fitness < 0.01);
    CHECK(std::accumulate(more.coefficients.begin(), more.coefficients.end(), 0.0) == doctest::Approx(1).epsilon(1e-9));
    CHECK(more.negative() > 0);
    CHECK(some.history.size() == 401);
  }
  lcsc::Found average = lcsc::best_average(5, quadratic, {0.3, 0.5, 0.7});
  CHECK(average.fitness == doctest::Approx(std::min({quadratic(optim::ema_coefficients(5, 0.3)), quadratic(optim::ema_coefficients(5, 0.5)),
                                                     quadratic(optim::ema_coefficients(5, 0.7))})));
}

TEST_CASE("lcsc: without evaluations the best seed comes out: an average, or the last checkpoint") {
  lcsc::Found found = lcsc::search(5, quadratic, {.search = {.evaluations = 0}});
  double best = quadratic({0, 0, 0, 0, 1});
  for (double decay : lcsc::Options().decays) best = std::min(best, quadratic(optim::ema_coefficients(5, decay)));
  CHECK(found.fitness == best);
  auto seeds = lcsc::seeds(3, {0.5});
  REQUIRE(seeds.size() == 2);
  CHECK(seeds[1] == Genes{0, 0, 1});
}

TEST_CASE("lcsc: over real weights the model holds the best combination in the end, judged on fixed noise") {
  manual_seed(2);
  CheckpointBank bank;
  nn::Linear wanted(3, 2), moving(3, 2);
  wanted.requires_grad_(false), moving.requires_grad_(false);
  Tensor noise = randn({64, 3});
  methods::FixedNoise judge(noise, wanted(noise));
  for (int64_t k = 0; k < 6; ++k) {  // around the wanted weights, which no checkpoint has
    nn::Linear at = wanted;
    add_(at.weight, randn({2, 3}) * 0.3);
    bank.offer(k, at.parameters());
  }
  auto evaluate = [&] { return judge([&](const Tensor& x) { return moving(x); }); };
  CHECK(evaluate() == evaluate());
  Generator g(1);
  lcsc::Found found = lcsc::search(bank, moving.parameters(), evaluate, {.search = {.evaluations = 200}}, g);
  CHECK(evaluate() == found.fitness);
  CHECK(found.fitness < 0.9 * found.history.front());
  CHECK(std::isinf(judge([&](const Tensor& x) { return x * NAN; })));
}

TEST_CASE("lcsc: the distance of two worked normal distributions, and none to itself") {
  metrics::FeatureStatistics a{tensor({0.0, 0.0}, f64), tensor({{1.0, 0.5}, {0.5, 2.0}}, f64)},
      b{tensor({1.0, -1.0}, f64), tensor({{2.0, 0.0}, {0.0, 1.0}}, f64)};
  CHECK(metrics::frechet_distance(a, b) == doctest::Approx(2.43523).epsilon(1e-5));
  CHECK(std::abs(metrics::frechet_distance(a, a)) < 1e-9);
}

TEST_CASE("lcsc: too few checkpoints and decays that are none are errors of one line") {
  CHECK_THROWS_WITH_AS(lcsc::search(1, quadratic), "ema_coefficients: takes at least 2 checkpoints, got 1", ValueError);
  CHECK_THROWS_WITH_AS(lcsc::search(5, quadratic, {.decays = {1.5}}), "ema_coefficients: the decay must lie in (0, 1), it is 1.5",
                       ValueError);
  CHECK_THROWS_WITH_AS(lcsc::seeds(1, {}), "lcsc: takes at least 2 checkpoints, got 1", ValueError);
  CHECK_THROWS_WITH_AS(lcsc::best_average(5, quadratic, {}), "lcsc: there are no decays to choose from", ValueError);
}

TEST_CASE("lcsc: the experiment runs, and a search is never worse on its own side than where it starts") {
  methods::Results results =
      methods::run_experiment({"generative", "lcsc", &lcsc::experiment, {}}, {.budget = methods::Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == lcsc::experiment().variants.size());
  auto search_side = [&](const std::string& variant) {
    for (const auto& cell : results.cells)
      if (cell.variant == variant) return cell.measured.metrics[1].second;
    return std::nan("");
  };
  for (const auto& cell : results.cells) {
    CAPTURE(cell.variant);
    for (const auto& [name, value] : cell.measured.metrics) CHECK(std::isfinite(value));
    CHECK(cell.measured.metrics[0].second < 200);
  }
  CHECK(search_side("LCSC") <= search_side("last checkpoint"));
  CHECK(search_side("LCSC") <= search_side("best average afterwards"));
  CHECK(search_side("random search") <= search_side("best average afterwards"));
}
