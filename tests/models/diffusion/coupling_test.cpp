// Optimal couplings of data and noise: a worked one, never dearer than none, and only an order.
#include <doctest/doctest.h>

#include <algorithm>

#include "models/diffusion/consistency.h"
#include "models/diffusion/coupling.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::diffusion;

namespace {
double cost(const Tensor& x, const Tensor& z) { return sum(square(x - z)).item(); }
}  // namespace

TEST_CASE("optimal_coupling: worked, the identity for one example") {
  Tensor x = tensor({{0.0, 0.0}, {1.0, 1.0}, {2.0, 0.0}}, f64), z = tensor({{1.5, 0.2}, {0.1, -0.3}, {0.8, 1.4}}, f64);
  CHECK(optimal_coupling(x, z) == std::vector<int64_t>{1, 2, 0});
  CHECK(cost(x, coupled(x, z, 3)) == doctest::Approx(0.59).epsilon(1e-10));
  CHECK(cost(x, z) == doctest::Approx(8.19).epsilon(1e-10));
  CHECK(optimal_coupling(tensor({{1.0}}, f64), tensor({{7.0}}, f64)) == std::vector<int64_t>{0});
}

TEST_CASE("coupled: the same noises in another order, within groups, never dearer than as drawn") {
  for (uint64_t seed : {1, 2, 3}) {
    Tensor x = test::sample({20, 3, 2}, seed), z = test::sample({20, 3, 2}, seed + 10);
    for (int64_t group : {1, 8, 20}) {
      Tensor y = coupled(x, z, group);
      CHECK(cost(x, y) <= cost(x, z) + 1e-12);
      auto before = to_vector(z), after = to_vector(y);
      for (int64_t first = 0; first < 20; first += group) {
        auto from = static_cast<ptrdiff_t>(first * 6), to = static_cast<ptrdiff_t>(std::min<int64_t>(20, first + group) * 6);
        std::vector<double> a(before.begin() + from, before.begin() + to), b(after.begin() + from, after.begin() + to);
        std::ranges::sort(a), std::ranges::sort(b);
        CHECK(a == b);
      }
      if (group == 1) CHECK(test::same_bits(y, z));
    }
    CHECK(cost(x, coupled(x, z, 20)) < cost(x, coupled(x, z, 4)));
  }
}

TEST_CASE("coupled: pairs of consistency training share the coupled noise; bad input is an error of one line") {
  PairSampler drawn({.steps = 100, .s0 = 10, .s1 = 10}), paired({.steps = 100, .s0 = 10, .s1 = 10, .coupling = 8});
  Tensor clean = test::sample({16, 2}, 4);
  Generator a(1), b(1);
  NoisePair p = drawn.draw(0, clean, a), q = paired.draw(0, clean, b);
  auto noise = [&](const NoisePair& n) { return (n.x_high - clean) / per_example(n.high, clean); };
  CHECK(test::difference(noise(q), coupled(clean, noise(p), 8)) < 1e-9);
  CHECK(test::difference((q.x_low - clean) / per_example(q.low, clean), noise(q)) < 1e-9);
  CHECK(test::same_bits(p.high, q.high));
  CHECK_THROWS_WITH_AS(coupled(clean, clean, 0), "coupled: groups have at least 1 example, not 0", ValueError);
  CHECK_THROWS_WITH_AS(optimal_coupling(clean, test::sample({16, 3}, 1)),
                       "optimal_coupling: takes two [B, ..] of one shape, got [16, 2] and [16, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(PairSampler({.coupling = -1}), "consistency: groups for coupling cannot have -1 examples", ValueError);
}
