// Mutual information of counted columns: worked numbers, limits, weights, mistakes.
#include "models/metrics/mutual_information.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/core/error.h"

using namespace plumb;
using namespace plumb::metrics;

namespace {
const std::vector<int64_t> kA{0, 0, 0, 1, 1, 1, 2, 2}, kB{0, 0, 1, 1, 1, 1, 0, 0}, kC{0, 1, 0, 1, 0, 1, 0, 1};
}

TEST_CASE("mutual information: worked numbers") {
  CHECK(mutual_information(kA, kB) == doctest::Approx(.454454).epsilon(2e-6));
  CHECK(mutual_information(kA, kC) == doctest::Approx(.0424748).epsilon(2e-6));
  CHECK(mutual_information(kB, kC) == doctest::Approx(0).epsilon(1e-14));
  CHECK(entropy(kA) == doctest::Approx(1.08220).epsilon(5e-6));
}

TEST_CASE("mutual information: is symmetric, that with itself is the entropy, a constant tells nothing") {
  CHECK(mutual_information(kA, kB) == doctest::Approx(mutual_information(kB, kA)).epsilon(1e-14));
  CHECK(mutual_information(kA, kA) == doctest::Approx(entropy(kA)).epsilon(1e-14));
  CHECK(mutual_information(kA, std::vector<int64_t>(8, 5)) == doctest::Approx(0).epsilon(1e-14));
  CHECK(entropy({7, 7}) == doctest::Approx(0).epsilon(1e-14));
  std::vector<int64_t> own{0, 1, 2, 3, 4, 5, 6, 7};  // a number of its own for each row tells all of the other column
  CHECK(mutual_information(own, kB) == doctest::Approx(entropy(kB)).epsilon(1e-14));
}

TEST_CASE("mutual information: a weight of 2 is the row twice, one of 0 is no row") {
  std::vector<int64_t> a{0, 0, 1, 1, 1}, b{0, 0, 0, 1, 2};
  CHECK(mutual_information({0, 1, 1, 9, 1}, {0, 0, 1, 9, 2}, {2, 1, 1, 0, 1}) == doctest::Approx(mutual_information(a, b)).epsilon(1e-14));
  CHECK(entropy({0, 1, 4}, {2, 3, 0}) == doctest::Approx(entropy(a)).epsilon(1e-14));
}

TEST_CASE("mutual information: mistakes are named") {
  CHECK_THROWS_WITH_AS(mutual_information({0, 1}, {0}), "mutual_information: columns of 2 and 1 rows", ShapeError);
  CHECK_THROWS_WITH_AS(mutual_information({}, {}), "mutual_information: there are no rows", ValueError);
  CHECK_THROWS_WITH_AS(entropy({1, 2}, {1}), "entropy: 1 weights for 2 rows", ShapeError);
  CHECK_THROWS_WITH_AS(entropy({1}, {-1}), "entropy: weights must not be negative, one is -1", ValueError);
  CHECK_THROWS_WITH_AS(entropy({1}, {0}), "entropy: all weights are 0", ValueError);
}
