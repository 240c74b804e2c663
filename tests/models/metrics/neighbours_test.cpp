// Nearest neighbours and what is measured by them, on points whose neighbours can be counted by hand.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "models/metrics/neighbours.h"
#include "models/metrics/sliced_wasserstein.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::metrics;

TEST_CASE("nearest: agrees with a plain search over more than one block") {
  manual_seed(1);
  Tensor a = randn({600, 3}), b = randn({70, 3});
  Nearest n = nearest(a, b);
  auto x = to_vector(a), y = to_vector(b), distance = to_vector(n.distance);
  auto index = to_vector<int64_t>(n.index);
  for (size_t i = 0; i < 600; ++i) {
    double best = 1e30;
    size_t at = 0;
    for (size_t j = 0; j < 70; ++j) {
      double d = 0;
      for (size_t k = 0; k < 3; ++k) d += (x[3 * i + k] - y[3 * j + k]) * (x[3 * i + k] - y[3 * j + k]);
      if (d < best) best = d, at = j;
    }
    CHECK(index[i] == static_cast<int64_t>(at));
    CHECK(distance[i] == doctest::Approx(std::sqrt(best)).epsilon(1e-9));
  }
  CHECK_THROWS_WITH_AS(nearest(a, zeros({3, 2})), "nearest: takes rows [n, d] and [m, d], got [600, 3] and [3, 2]", ShapeError);
}

TEST_CASE("kth_neighbour_distance: a point is not its own neighbour, a twin is") {
  Tensor x = tensor({{0.0}, {0.0}, {1.0}, {4.0}});
  CHECK(to_vector(kth_neighbour_distance(x, 1)) == std::vector<double>{0, 0, 1, 3});
  CHECK(to_vector(kth_neighbour_distance(x, 2)) == std::vector<double>{1, 1, 1, 4});
  CHECK_THROWS_WITH_AS(kth_neighbour_distance(x, 4), "kth_neighbour_distance: k = 4 must lie in [1, 4) for so many examples", ValueError);
}

TEST_CASE("kth_neighbour_distance: small distances far from the origin are not lost") {
  Tensor x = to(tensor({{0.0, 1.0}, {3.0, 5.0}, {0.0, 1.5}}), f64) + 1e9;
  CHECK(to_vector(kth_neighbour_distance(x, 1)) == std::vector<double>{0.5, std::sqrt(9 + 3.5 * 3.5), 0.5});
}

TEST_CASE("precision_recall: counted on a line") {
  // Real 0, 1, 2, 10: nearest others at 1, 1, 1, 8. Samples 0.5, 3.5, 30: at 3, 3, 26.5.
  Tensor real = tensor({{0.0}, {1.0}, {2.0}, {10.0}}), samples = tensor({{0.5}, {3.5}, {30.0}});
  PrecisionRecall r = precision_recall(real, samples, 1);
  // 0.5 lies in the balls of 0 and 1, 3.5 in that of 10 (6.5 ≤ 8), 30 in none.
  CHECK(r.precision == doctest::Approx(2.0 / 3));
  CHECK(r.density == doctest::Approx(3.0 / 3));
  // 0, 1, 2 lie within 3 of 0.5; 10 is 20 from 30 (≤ 26.5): all are covered by a sample's ball.
  CHECK(r.recall == 1);
  // strictly nearer than their own neighbour: 0 (0.5 < 1), 1 (0.5 < 1), 2 has 1.5, 10 has 6.5 < 8
  CHECK(r.coverage == doctest::Approx(3.0 / 4));
  CHECK_THROWS_AS(precision_recall(real, samples, 3), ValueError);
}

TEST_CASE("precision_recall: samples of one mode are precise and recall half; noise far away is neither") {
  manual_seed(2);
  Tensor left = randn({200, 2}), right = randn({200, 2}) + 50, real = cat({left, right});
  PrecisionRecall half = precision_recall(real, randn({200, 2}));
  CHECK(half.precision > 0.9);
  CHECK(half.recall > 0.4);
  CHECK(half.recall < 0.51);
  PrecisionRecall none = precision_recall(real, randn({200, 2}) - 500);
  CHECK(none.precision == 0);
  CHECK(none.recall == 0);
  CHECK(none.coverage == 0);
}

TEST_CASE("share_of_copies: copies are found among new examples") {
  manual_seed(3);
  Tensor training = rand({300, 20}), held_out = rand({300, 20});
  double threshold = copy_threshold(held_out, training, 0.05);
  double own = share_of_copies(held_out, training, threshold);
  CHECK(own <= 0.05);
  CHECK(own >= 0.04);
  Tensor copies = narrow(training, 0, 0, 30) + rand({30, 20}) * 1e-3;
  double found = share_of_copies(cat({copies, narrow(held_out, 0, 0, 70)}), training, threshold);
  CHECK(found >= 0.30);
  CHECK(found <= 0.42);
  CHECK(share_of_copies(training, training, 1e-9) == 1);
  CHECK_THROWS_AS(copy_threshold(held_out, training, 1.5), ValueError);
}

TEST_CASE("sliced_wasserstein: exact in one dimension, also for clouds of different sizes") {
  Tensor a = tensor({{0.0}, {1.0}, {2.0}}, f64), b = tensor({{5.0}, {3.0}, {4.0}}, f64);
  CHECK(sliced_wasserstein(a, b, {.p = 1}) == doctest::Approx(3));
  CHECK(sliced_wasserstein(a, b, {.p = 2}) == doctest::Approx(3));
  // quantiles 0, 1, 2 against 0, 3: thirds and halves meet at sixths; |d| is 0, 0 and 1 then 2, 1, 1 (of 1/6 each)
  Tensor c = tensor({{0.0}, {3.0}}, f64);
  CHECK(sliced_wasserstein(a, c, {.p = 1}) == doctest::Approx((0 + 0 + 1 + 2 + 1 + 1) / 6.0));
  CHECK(sliced_wasserstein(a, a) == 0);
}

TEST_CASE("sliced_wasserstein: a shift by v in d dimensions is ‖v‖/√d away on average") {
  manual_seed(4);
  Tensor x = randn({50, 8}, {.dtype = f64}), y = x + tensor({3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0}, f64);
  Generator generator(5);
  // mean of θ₁² over 4000 directions: 1/8, with a standard deviation of about 0.16/√4000
  double d = sliced_wasserstein(x, y, {.directions = 4000, .generator = &generator});
  CHECK(d * d == doctest::Approx(9.0 / 8).epsilon(4 * 0.16 * 8 / std::sqrt(4000.0)));
  Generator again(5);
  CHECK(d == sliced_wasserstein(x, y, {.directions = 4000, .generator = &again}));
  CHECK_THROWS_WITH_AS(sliced_wasserstein(x, zeros({3, 2})), "sliced_wasserstein: takes points [n, d] and [m, d], got [50, 8] and [3, 2]",
                       ShapeError);
  CHECK_THROWS_AS(sliced_wasserstein(x, y, {.directions = 0}), ValueError);
}

TEST_CASE("precision_recall: points at the radius itself lie within") {
  Generator g(4);
  Tensor x = randn({40, 6}, {.generator = &g});
  CHECK(precision_recall(x, x, 3).density == doctest::Approx(4.0 / 3).epsilon(1e-12));
}
