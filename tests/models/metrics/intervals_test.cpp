// Intervals against tables of Student's distribution and cases worked by hand.
#include "models/metrics/intervals.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <vector>

#include "engine/core/error.h"

using namespace plumb;

TEST_CASE("student_t: one and two degrees of freedom have closed forms") {
  for (double t : {-3.0, -0.4, 0.0, 0.7, 2.5, 40.0}) {
    CHECK(student_t_cdf(t, 1) == doctest::Approx(0.5 + std::atan(t) / M_PI).epsilon(1e-13));
    CHECK(student_t_cdf(t, 2) == doctest::Approx(0.5 + t / (2 * std::sqrt(2 + t * t))).epsilon(1e-13));
  }
}

TEST_CASE("student_t: quantiles are those of the tables") {
  CHECK(student_t_quantile(0.975, 1) == doctest::Approx(12.7062047362).epsilon(1e-9));
  CHECK(student_t_quantile(0.975, 2) == doctest::Approx(4.30265272975).epsilon(1e-9));
  CHECK(student_t_quantile(0.975, 4) == doctest::Approx(2.77644510520).epsilon(1e-9));
  CHECK(student_t_quantile(0.95, 10) == doctest::Approx(1.81246112281).epsilon(1e-9));
  CHECK(student_t_quantile(0.975, 1e7) == doctest::Approx(1.95996398454).epsilon(1e-6));
  CHECK(student_t_quantile(0.025, 4) == doctest::Approx(-2.77644510520).epsilon(1e-9));
}

TEST_CASE("t_interval: mean and half-width of a small sample") {
  std::array<double, 3> values{99.37, 99.31, 99.40};
  Interval i = t_interval(values);
  CHECK(i.mean == doctest::Approx(99.36));
  CHECK(i.half_width == doctest::Approx(4.30265272975 * std::sqrt(0.0021 / 3)));  // s² = (0.01² + 0.05² + 0.04²) / 2
  CHECK(i.low() == doctest::Approx(i.mean - i.half_width));
}

TEST_CASE("t_interval: one value has no half-width, equal ones have zero") {
  CHECK(std::isnan(t_interval(std::array{2.0}).half_width));
  CHECK(t_interval(std::array{2.0, 2.0, 2.0}).half_width == 0);
}

TEST_CASE("paired_difference: what both have in common by seed does not widen it") {
  std::vector<double> a{1.1, 5.1, 9.1, 3.1}, b{1, 5, 9, 3};
  Interval d = paired_difference(a, b);
  CHECK(d.mean == doctest::Approx(0.1));
  CHECK(d.half_width < 1e-12);
}

TEST_CASE("intervals: bad input is named") {
  CHECK_THROWS_WITH_AS(t_interval({}), "t_interval: there are no values", ValueError);
  CHECK_THROWS_AS(t_interval(std::array{1.0, 2.0}, 1), ValueError);
  CHECK_THROWS_AS(student_t_quantile(0, 3), ValueError);
  CHECK_THROWS_AS(student_t_cdf(0, 0), ValueError);
  CHECK_THROWS_WITH_AS(paired_difference(std::array{1.0}, std::array{1.0, 2.0}), "paired_difference: 1 values beside 2; they must be pairs",
                       ValueError);
}

TEST_CASE("student_t_quantile: far in the lower tail, and the same on both sides") {
  CHECK(student_t_cdf(student_t_quantile(1e-17, 5), 5) == doctest::Approx(1e-17).epsilon(1e-9));
  CHECK(student_t_quantile(0.975, 5) == doctest::Approx(2.570581835636).epsilon(1e-10));
  CHECK(student_t_quantile(0.025, 5) == doctest::Approx(-2.570581835636).epsilon(1e-10));
}
