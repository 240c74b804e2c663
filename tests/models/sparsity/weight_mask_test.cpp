// Layer densities, masks in bits, pruning and growth: worked numbers, limits, mistakes.
#include "models/sparsity/weight_mask.h"

#include <doctest/doctest.h>

#include <cmath>

#include "models/sparsity/prune_grow.h"
#include "ops/pointwise.h"

using namespace plumb;
using namespace plumb::sparsity;

namespace {

void check_densities(const std::vector<Shape>& shapes, double density, const std::vector<double>& wanted) {
  auto got = erk_densities(shapes, density);
  REQUIRE(got.size() == wanted.size());
  double kept = 0, all = 0;
  for (size_t l = 0; l < got.size(); ++l) {
    CHECK(got[l] == doctest::Approx(wanted[l]).epsilon(1e-6));
    kept += got[l] * static_cast<double>(numel(shapes[l]));
    all += static_cast<double>(numel(shapes[l]));
  }
  CHECK(kept / all == doctest::Approx(density).epsilon(1e-12));
}

const std::vector<Shape> kPerceptron{{300, 784}, {100, 300}, {10, 100}};

Tensor worked_weight() { return tensor({0.5, -0.1, 0.0, 0.3, -0.7, 0.0, 0.05, 0.0}); }
Tensor worked_mask() { return tensor({1, 1, 0, 1, 1, 0, 1, 0}) != 0; }

std::vector<int> ints(const Tensor& mask) {
  std::vector<int> out;
  for (double x : to_vector(mask)) out.push_back(static_cast<int>(x));
  return out;
}

}  // namespace

TEST_CASE("layer densities: the Erdős–Rényi kernel by its worked numbers") {
  check_densities(kPerceptron, 0.2, {0.162241, 0.469362, 1.0});
  check_densities(kPerceptron, 0.05, {0.0384841, 0.111334, 0.918507});
  check_densities({{16, 1, 3, 3}, {32, 16, 3, 3}, {64, 32, 3, 3}, {10, 64}}, 0.2, {1.0, 0.299038, 0.141213, 1.0});
  // ε itself: density over (Σ n) / N.
  CHECK(erk_densities(kPerceptron, 0.2)[0] / ((300 + 784) / (300.0 * 784)) == doctest::Approx(35.202156).epsilon(1e-8));
  CHECK(erk_densities(kPerceptron, 0.05)[1] / (400 / (100.0 * 300)) == doctest::Approx(8.350063).epsilon(1e-7));
  CHECK(erk_densities({{16, 1, 3, 3}, {32, 16, 3, 3}, {64, 32, 3, 3}, {10, 64}}, 0.2)[2] / (102 / 18432.0) ==
        doctest::Approx(25.517949).epsilon(1e-7));
}

TEST_CASE("layer densities: every density can be shared out, and 1 makes all dense") {
  for (double density : {1e-6, 0.01, 0.3, 0.7, 0.999, 1.0})
    for (const auto& shapes : {kPerceptron, std::vector<Shape>{{1000, 1000}, {2, 2}, {1, 3}}}) {
      double kept = 0, all = 0;
      auto d = erk_densities(shapes, density);
      for (size_t l = 0; l < d.size(); ++l) {
        CHECK(d[l] > 0);
        CHECK(d[l] <= 1);
        kept += d[l] * static_cast<double>(numel(shapes[l])), all += static_cast<double>(numel(shapes[l]));
      }
      CHECK(kept / all == doctest::Approx(density).epsilon(1e-9));
    }
  for (double d : erk_densities(kPerceptron, 1)) CHECK(d == 1);
  CHECK(uniform_densities(kPerceptron, 0.2) == std::vector<double>{0.2, 0.2, 0.2});
}

TEST_CASE("weight masks: random ones have the exact number, in bits and back") {
  Generator g(1), other(2);
  Tensor mask = random_mask({7, 13}, 0.3, g);
  BitMask bits(mask);
  CHECK(bits.count() == 27);
  CHECK(bits.bytes() == 16);
  CHECK(ints(bits.tensor()) == ints(mask));
  CHECK(bits.tensor(f32).dtype() == f32);
  BitMask second(random_mask({7, 13}, 0.3, other)), both = bits;
  CHECK_FALSE(bits == second);
  both |= second;
  CHECK(both.count() == 54 - bits.overlap(second));
  CHECK(bits.overlap(bits) == 27);
  CHECK(BitMask(random_mask({64}, 1, g)).count() == 64);
}

TEST_CASE("prune and grow: the worked round") {
  Pruned pruned = prune(worked_mask(), worked_weight(), 0.4);
  CHECK(pruned.removed == 2);
  CHECK(ints(pruned.mask) == std::vector<int>{1, 0, 0, 1, 1, 0, 0, 0});
  Tensor gradient = tensor({.1, .2, -.9, .3, 0.0, .4, .8, -.6});
  CHECK(ints(grow(pruned.mask, 2, GrowthRule::gradient, {.score = gradient})) == std::vector<int>{1, 0, 1, 1, 1, 0, 1, 0});
  CHECK(prune(worked_mask(), worked_weight(), 0).removed == 0);
  CHECK(ints(prune(worked_mask(), worked_weight(), 0).mask) == ints(worked_mask()));
  CHECK(prune(worked_mask(), worked_weight(), 0.005).removed == 1);  // at least one, unless the rate is 0
  CHECK(prune(worked_mask(), worked_weight(), 1).removed == 5);
}

TEST_CASE("prune: zeros first, lower places first among equals; by sign; by the loss") {
  Tensor all = ones({6}, boolean), w = tensor({0.3, 0.0, -0.3, 0.0, 0.3, 0.2});
  CHECK(ints(prune(all, w, 0.5).mask) == std::vector<int>{1, 0, 1, 0, 1, 0});
  CHECK(ints(prune(all, w, 4.0 / 6).mask) == std::vector<int>{0, 0, 1, 0, 1, 0});
  // SET: ⌈3/2⌉ of each sign; of the negatives those nearest to 0, of which there are two.
  Tensor signs = tensor({0.5, 0.1, -0.9, -0.2, -0.1, 0.2});
  Pruned by_sign = prune(all, signs, 0.5, PruneRule::set);
  CHECK(by_sign.removed == 4);
  CHECK(ints(by_sign.mask) == std::vector<int>{1, 0, 1, 0, 0, 0});
  Tensor g = tensor({0.1, 9.0, 1.0, 1.0, 0.0, 1.0});  // (w g)²: .0009, 0, .09, 0, 0, .04
  CHECK(ints(prune(all, w, 0.5, PruneRule::taylor, g).mask) == std::vector<int>{1, 0, 1, 0, 0, 1});
}

TEST_CASE("grow: random and unfired places, momentum, and frozen ones last among equals") {
  Tensor mask = tensor({1, 0, 0, 0, 1, 0, 0, 0}) != 0, fired = tensor({1, 1, 0, 0, 1, 1, 0, 1}) != 0;
  std::vector<int> seen(8);
  for (uint64_t seed = 0; seed < 60; ++seed) {
    Generator g(seed);
    auto random = ints(grow(mask, 2, GrowthRule::random, {}, g)), fresh = ints(grow(mask, 2, GrowthRule::unfired, {.fired = fired}, g)),
         many = ints(grow(mask, 5, GrowthRule::unfired, {.fired = fired}, g));
    int added = 0, reused = 0;
    for (size_t i = 0; i < 8; ++i) {
      added += random[i], reused += many[i];
      seen[i] += random[i];
      if (fired.data<bool>()[i] && !mask.data<bool>()[i]) CHECK(fresh[i] == 0);
    }
    CHECK(added == 4);
    CHECK(reused == 7);
    CHECK((many[2] == 1 && many[3] == 1 && many[6] == 1));
  }
  for (size_t i : {1, 2, 3, 5, 6, 7}) CHECK((seen[i] > 5 && seen[i] < 40));  // 20 of 60 expected
  CHECK(ints(grow(mask, 1, GrowthRule::momentum, {.score = tensor({9.0, 1.0, -3.0, 2.0, 9.0, 0.0, 0.0, 0.0})})) ==
        std::vector<int>{1, 0, 1, 0, 1, 0, 0, 0});
  Tensor frozen = tensor({0, 1, 1, 0, 0, 1, 0, 0}) != 0;
  CHECK(ints(grow(mask, 3, GrowthRule::gradient, {.score = zeros({8}), .frozen = frozen})) == std::vector<int>{1, 0, 0, 1, 1, 0, 1, 1});
  CHECK(ints(grow(mask, 4, GrowthRule::gradient, {.score = zeros({8}), .frozen = frozen})) == std::vector<int>{1, 1, 0, 1, 1, 0, 1, 1});
}

TEST_CASE("death rate: the worked numbers") {
  double wanted[] = {0.5, 0.427509, 0.2525, 0.005};
  int64_t at[] = {0, 250, 500, 1000};
  for (int k = 0; k < 4; ++k) CHECK(death_rate(at[k], 1000) == doctest::Approx(wanted[k]).epsilon(1e-6));
  CHECK(death_rate(2000, 1000) == doctest::Approx(0.005));
}

TEST_CASE("sparsity of weights: mistakes are named") {
  CHECK_THROWS_WITH_AS(erk_densities(kPerceptron, 0), "sparsity: the density must lie in (0, 1], it is 0", ValueError);
  CHECK_THROWS_WITH_AS(uniform_densities(kPerceptron, 1.5), "sparsity: the density must lie in (0, 1], it is 1.5", ValueError);
  CHECK_THROWS_WITH_AS(erk_densities({}, 0.5), "sparsity: there are no layers to share weights among", ValueError);
  CHECK_THROWS_WITH_AS(erk_densities({{3, 4}, {0, 4}}, 0.5), "sparsity: layer 1 has no weights: [0, 4]", ValueError);
  CHECK_THROWS_WITH_AS(random_mask({2, 3}, 0.01), "sparsity: a density of 0.01 leaves none of the 6 weights of a layer [2, 3]", ValueError);
  CHECK_THROWS_WITH_AS(growth_rule_named("loss"),
                       "sparsity: the growth rule \"loss\" is unknown; choose random, unfired, gradient or momentum", ConfigError);
  CHECK_THROWS_WITH_AS(prune_rule_named("loss"), "sparsity: the prune rule \"loss\" is unknown; choose magnitude, set or taylor",
                       ConfigError);
  CHECK(growth_rule_named("momentum") == GrowthRule::momentum);
  Tensor mask = worked_mask();
  CHECK_THROWS_WITH_AS(prune(mask, worked_weight(), 0.5, PruneRule::taylor), "sparsity: pruning by Taylor's rule needs a gradient",
                       ValueError);
  CHECK_THROWS_WITH_AS(prune(mask, zeros({3}), 0.5), "sparsity: a mask [8] and weights [3]", ShapeError);
  CHECK_THROWS_WITH_AS(grow(mask, 1, GrowthRule::gradient, {}), "sparsity: growth by gradient needs a gradient", ValueError);
  CHECK_THROWS_WITH_AS(grow(mask, 1, GrowthRule::momentum, {}), "sparsity: growth by momentum needs an optimiser with momentum",
                       ValueError);
  CHECK_THROWS_WITH_AS(grow(mask, 4, GrowthRule::random, {}), "sparsity: 4 weights cannot join a mask with 3 free places", ValueError);
  CHECK_THROWS_WITH_AS(death_rate(0, 10, 0.1, 0.2), "sparsity: death rates must have 0 <= least <= first <= 1, they are 0.2 and 0.1",
                       ValueError);
  CHECK_THROWS_WITH_AS(BitMask(mask).overlap(BitMask(zeros({3}))), "sparsity: masks of [8] and [3]", ShapeError);
}
