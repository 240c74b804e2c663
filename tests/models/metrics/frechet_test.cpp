// The Fréchet distance: worked numbers, invariances, sets of features.
#include <doctest/doctest.h>

#include <cmath>

#include "models/metrics/frechet.h"
#include "ops/elementary.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::metrics;

TEST_CASE("frechet_distance: worked pairs of normal distributions") {
  FeatureStatistics a{tensor({0.0, 0.0}, f64), tensor({{1.0, 0.5}, {0.5, 2.0}}, f64)},
      b{tensor({1.0, -1.0}, f64), tensor({{2.0, 0.0}, {0.0, 1.0}}, f64)};
  CHECK(frechet_distance(a, b) == doctest::Approx(2.43523).epsilon(1e-5));
  CHECK(frechet_distance(b, a) == doctest::Approx(2.43523).epsilon(1e-5));
  FeatureStatistics c{tensor({0.0, 0.0}, f64), tensor({{2.0, 0.5}, {0.5, 1.0}}, f64)},
      d{tensor({1.0, -1.0}, f64), tensor({{1.0, -0.2}, {-0.2, 0.5}}, f64)};
  CHECK(frechet_distance(c, d) == doctest::Approx(2.45306).epsilon(1e-5));
  CHECK(frechet_distance(a, a) == doctest::Approx(0).epsilon(1e-12));
}

TEST_CASE("frechet_distance: in one dimension (m1 - m2)² + (s1 - s2)², also for features that do not vary") {
  Tensor x = tensor({{1.0}, {3.0}, {5.0}}, f64), y = tensor({{2.0}, {2.0}, {2.0}}, f64);  // means 3 and 2, standard deviations 2 and 0
  CHECK(frechet_distance(x, y) == doctest::Approx(5));
  FeatureStatistics s = feature_statistics(x);
  CHECK(s.mean.item() == 3);
  CHECK(s.covariance.item() == 4);
}

TEST_CASE("frechet_distance: fewer examples than features, and a shift of all of them") {
  manual_seed(1);
  Tensor x = randn({5, 12}, {.dtype = f64});
  CHECK(frechet_distance(x, x) < 1e-6);
  CHECK(frechet_distance(x, x + 0.5) == doctest::Approx(12 * 0.25).epsilon(1e-6));
}

TEST_CASE("symmetric_sqrt: its square is the matrix") {
  manual_seed(2);
  Tensor r = randn({4, 6}, {.dtype = f64}), a = matmul(r, mT(r)), s = symmetric_sqrt(a);
  CHECK(max(abs(matmul(s, s) - a)).item() < 1e-12);
}

TEST_CASE("frechet_distance: what does not fit is named") {
  CHECK_THROWS_WITH_AS(feature_statistics(zeros({3})), "feature_statistics: takes features [n, d], got [3]", ShapeError);
  CHECK_THROWS_WITH_AS(feature_statistics(zeros({1, 3})), "feature_statistics: a covariance needs at least 2 rows, got 1", ValueError);
  CHECK_THROWS_WITH_AS(frechet_distance(zeros({3, 2}), zeros({3, 4})), "frechet_distance: features of sizes [2] and [4] differ",
                       ShapeError);
}
