// The energy distance: a worked case, its properties, and its value for two normal distributions.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/core/parallel.h"
#include "models/metrics/energy_distance.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::metrics;

TEST_CASE("energy_distance: worked by hand, with points paired with themselves") {
  // a = {0, 3}, b = {1}: 2 (1 + 2)/2 − (0 + 3 + 3 + 0)/4 − 0
  CHECK(energy_distance(tensor({{0.0}, {3.0}}), tensor({{1.0}})) == doctest::Approx(1.5));
  CHECK(mean_distance(tensor({{0.0, 0.0}}), tensor({{3.0, 4.0}, {0.0, 1.0}})) == doctest::Approx(3));
}

TEST_CASE("energy_distance: 0 for one cloud, symmetric, unmoved by mirroring, growing with a shift") {
  Tensor a = test::sample({40, 2}, 1), b = test::sample({30, 2}, 2);
  CHECK(energy_distance(a, a) == 0);
  CHECK(energy_distance(a, b) == doctest::Approx(energy_distance(b, a)).epsilon(1e-12));
  Tensor mirrored_a = a * tensor({{-1.0, 1.0}}, f64), mirrored_b = b * tensor({{-1.0, 1.0}}, f64);
  CHECK(energy_distance(mirrored_a, mirrored_b) == doctest::Approx(energy_distance(a, b)).epsilon(1e-12));
  CHECK(energy_distance(a, a + 0.5) < energy_distance(a, a + 1.0));
  int threads = num_threads();
  set_num_threads(1);
  double one = energy_distance(a, b);
  set_num_threads(3);
  CHECK(energy_distance(a, b) == one);
  set_num_threads(threads);
}

TEST_CASE("energy_distance: two normal distributions in one dimension, E|N(m, 2)| in closed form") {
  Generator g(3);
  Tensor a = randn({2000, 1}, {.dtype = f64, .generator = &g}), b = randn({2000, 1}, {.dtype = f64, .generator = &g}) + 1.0;
  // E|N(m, s²)| = s √(2/π) e^(−m²/2s²) + m erf(m/(s √2)), s² = 2
  auto folded = [](double m) { return 2 / std::sqrt(M_PI) * std::exp(-m * m / 4) + m * std::erf(m / 2); };
  CHECK(energy_distance(a, b) == doctest::Approx(2 * folded(1) - 2 * folded(0)).epsilon(0.12));  // 4 deviations of 2,000 points
  CHECK_THROWS_WITH_AS(energy_distance(a, zeros({3, 2})), "energy_distance: takes points [n, d] and [m, d], got [2000, 1] and [3, 2]",
                       ShapeError);
  CHECK_THROWS_AS(energy_distance(zeros({0, 2}), zeros({3, 2})), ShapeError);
}
