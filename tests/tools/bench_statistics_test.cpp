// What is made of repeated measurements.
#include "tools/bench/statistics.h"

#include <doctest/doctest.h>

#include <cmath>

using namespace plumb::tools;

TEST_CASE("bench statistics: the median of an even number lies between the middle two") {
  CHECK(median({3, 1, 2}) == 2);
  CHECK(median({4, 1, 2, 3}) == 2.5);
}

TEST_CASE("bench statistics: the geometric mean, with Student's interval on the logarithms") {
  std::vector<double> rounds{1, 2, 4};  // logarithms −l, 0, l around that of 2: deviation l = log 2
  Estimate e = estimate(rounds);
  CHECK(e.value == doctest::Approx(2));
  double half = 4.302652729911275 * std::log(2) / std::sqrt(3);  // t of 2 degrees of freedom
  CHECK(e.low == doctest::Approx(2 * std::exp(-half)));
  CHECK(e.high == doctest::Approx(2 * std::exp(half)));
  Estimate one = estimate(std::vector<double>{5.0});
  CHECK(one.value == doctest::Approx(5));
  CHECK(one.low == one.high);
}

TEST_CASE("bench statistics: a ratio by rounds knows nothing of drift that meets both") {
  Estimate e = ratio(std::vector<double>{2.0, 20.0, 200.0}, std::vector<double>{1.0, 10.0, 100.0});
  CHECK(e.value == doctest::Approx(2));
  CHECK(e.low == doctest::Approx(2));
  CHECK(e.high == doctest::Approx(2));
}

TEST_CASE("bench statistics: the exponent of a power law") {
  CHECK(exponent(std::vector<double>{1, 2, 4, 8}, std::vector<double>{3, 12, 48, 192}) == doctest::Approx(2));
}
