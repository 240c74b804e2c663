// Evolutionary search: its operators, what never gets worse, and who stays.
#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "engine/core/error.h"
#include "models/optim/evolution.h"

using namespace plumb;
using namespace plumb::optim;

namespace {
double sphere(const Genes& g) {
  double sum = 0;
  for (size_t i = 0; i < g.size(); ++i) sum += (g[i] - 0.1 * static_cast<double>(i)) * (g[i] - 0.1 * static_cast<double>(i));
  return sum;
}
const std::vector<Genes> kSeeds{{0.5, 0.2, 0.3}, {0, 0, 1}, {1, 0, 0}};
}  // namespace

TEST_CASE("evolution: worked operators") {
  Genes child = linear_crossover({0.1, 0.2, 0.7}, {0, 0.5, 0.5}, 0.25);
  for (auto [got, wanted] : {std::pair{child[0], 0.025}, {child[1], 0.425}, {child[2], 0.55}})
    CHECK(got == doctest::Approx(wanted).epsilon(1e-12));
  Genes over{0.1, 0.5, 0.5}, under{0.12, -0.2, 5};
  sum_to_one(over), sum_to_one(under);
  CHECK(over[2] == doctest::Approx(0.4).epsilon(1e-12));
  CHECK(under[2] == doctest::Approx(1.08).epsilon(1e-12));
  Generator g(1);
  int from_a = 0;
  for (int i = 0; i < 200; ++i)
    for (double x : swap_crossover({1, 1, 1}, {2, 2, 2}, g)) from_a += x == 1;
  CHECK(std::abs(from_a - 300) < 60);  // deviation 12
  CHECK_THROWS_WITH_AS(linear_crossover({1}, {1, 2}, 0.5), "evolution: vectors of 1 and 2 genes cannot be crossed", ValueError);
}

TEST_CASE("evolution: the best never gets worse, children keep the constraint, and one seed gives one result") {
  auto run = [](uint64_t seed) {
    Generator g(seed);
    double worst_sum = 0;
    EvolutionResult r = evolve(
        [&](const Genes& genes) {
          worst_sum = std::max(worst_sum, std::abs(std::accumulate(genes.begin(), genes.end(), 0.0) - 1));
          return sphere(genes);
        },
        kSeeds, {.evaluations = 200}, sum_to_one, g);
    CHECK(worst_sum < 1e-9);
    return r;
  };
  EvolutionResult a = run(1), b = run(1), c = run(2);
  REQUIRE(a.history.size() == 201);
  for (size_t t = 1; t < a.history.size(); ++t) CHECK(a.history[t] <= a.history[t - 1]);
  CHECK(a.fitness == a.history.back());
  CHECK(sphere(a.best) == a.fitness);
  CHECK(a.fitness < 0.26);  // 0.27 at first, and 0.163 at the best point of sum 1
  CHECK(a.best == b.best);
  CHECK(a.best != c.best);
}

TEST_CASE("evolution: no evaluation gives the best seed, one individual without mutation stays, and of equals the older one") {
  EvolutionResult none = evolve(sphere, kSeeds, {.evaluations = 0});
  CHECK(none.best == kSeeds[0]);
  CHECK(evolve(sphere, kSeeds, {.evaluations = 30, .population = 1, .deviations = {}}).best == kSeeds[0]);
  int calls = 0;
  EvolutionResult flat = evolve([&](const Genes&) { return ++calls, 1.0; }, kSeeds, {.evaluations = 20});
  CHECK(flat.best == kSeeds[0]);
  CHECK(calls == 23);
}

TEST_CASE("evolution: what is not finite is turned away; without heredity children are of the seeds alone") {
  Generator g(3);
  EvolutionResult r = evolve([](const Genes& x) { return x[0] > 0.3 ? NAN : x[0]; }, {{0.2}, {0.9}}, {.evaluations = 50}, {}, g);
  CHECK(r.rejected >= 1);
  CHECK(std::isfinite(r.fitness));
  CHECK_THROWS_WITH_AS(evolve([](const Genes&) { return INFINITY; }, kSeeds), "evolution: no seed has a finite fitness", ValueError);
  // descending without end: with heredity steps add up, without them none goes further than one mutation
  EvolutionOptions options{.evaluations = 1000, .mutation = 1, .deviations = {0.01}, .mutated = 1, .heredity = false};
  auto low = [](const Genes& x) { return x[0]; };
  CHECK(evolve(low, {{0.0}}, options, {}, g).fitness > -0.06);
  options.heredity = true;
  CHECK(evolve(low, {{0.0}}, options, {}, g).fitness < -0.2);
}

TEST_CASE("evolution: options and seeds that cannot be are errors of one line") {
  CHECK_THROWS_WITH_AS(evolve(sphere, {}), "evolution: there are no seeds", ValueError);
  CHECK_THROWS_WITH_AS(evolve(sphere, {{1}, {1, 2}}), "evolution: vectors of 2 and 1 genes cannot be crossed", ValueError);
  CHECK_THROWS_AS(evolve(sphere, kSeeds, {.population = 0}), ValueError);
  CHECK_THROWS_WITH_AS(evolve(sphere, kSeeds, {.deviations = {0}}), "evolution: deviations must be positive, one is 0", ValueError);
  CHECK_THROWS_WITH_AS(evolve(sphere, kSeeds, {.linear = 2}),
                       "evolution: linear, mutation and mutated must lie in [0, 1], got 2, 0.5 and 0.3", ValueError);
}
