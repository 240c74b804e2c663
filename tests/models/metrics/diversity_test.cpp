// Distances within the groups around a few examples.
#include <doctest/doctest.h>

#include <cmath>

#include "models/metrics/diversity.h"
#include "ops/shape.h"

using namespace plumb;

TEST_CASE("diversity: pairs within each example's group, worked; lone samples do not count") {
  Tensor examples = tensor({{0.0, 0.0}, {10.0, 0.0}, {0.0, 50.0}});
  // three about the first (distances 1, 1, √2), two about the second (distance 4), one about the third
  Tensor samples = tensor({{0.0, 0.0}, {1.0, 0.0}, {0.0, 1.0}, {10.0, 2.0}, {10.0, -2.0}, {0.0, 49.0}});
  CHECK(metrics::intra_cluster_distance(samples, examples) == doctest::Approx(((2 + std::sqrt(2.0)) / 3 + 4) / 2).epsilon(1e-12));
  CHECK(metrics::intra_cluster_distance(tensor({{1.0, 1.0}, {1.0, 1.0}}), examples) == 0);  // copies
  CHECK(std::isnan(metrics::intra_cluster_distance(slice(samples, 0, 5), examples)));
  CHECK_THROWS_AS(metrics::intra_cluster_distance(tensor({{1.0}}), examples), ShapeError);
}
