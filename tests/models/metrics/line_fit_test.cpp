// Lines and power laws against sums by hand.
#include "models/metrics/line_fit.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "engine/core/error.h"

using namespace plumb;

TEST_CASE("line_fit: four points by hand") {
  std::vector<double> x{0, 1, 2, 3}, y{1, 3, 4, 8};  // x̄ = 1.5, ȳ = 4; Σ(x−x̄)² = 5, Σ(x−x̄)(y−ȳ) = 11, Σ(y−ȳ)² = 26
  LineFit fit = line_fit(x, y);
  CHECK(fit.slope == doctest::Approx(2.2).epsilon(1e-14));
  CHECK(fit.intercept == doctest::Approx(0.7).epsilon(1e-13));
  CHECK(fit.r2 == doctest::Approx(1 - 1.8 / 26).epsilon(1e-13));  // residuals 0.3, 0.1, −1.1, 0.7
  CHECK(fit.slope_error == doctest::Approx(std::sqrt(1.8 / 2 / 5)).epsilon(1e-13));
}

TEST_CASE("line_fit: two points leave no error to speak of, a constant has no r2") {
  CHECK(std::isnan(line_fit(std::vector<double>{1, 2}, std::vector<double>{5, 7}).slope_error));
  LineFit flat = line_fit(std::vector<double>{1, 2, 4}, std::vector<double>{3, 3, 3});
  CHECK(flat.slope == 0);
  CHECK(std::isnan(flat.r2));
}

TEST_CASE("power_law_fit: finds the exponent of 3 x^1.5") {
  std::vector<double> x{1, 10, 200, 5000}, y;
  for (double v : x) y.push_back(3 * std::pow(v, 1.5));
  LineFit fit = power_law_fit(x, y);
  CHECK(fit.slope == doctest::Approx(1.5).epsilon(1e-13));
  CHECK(std::exp(fit.intercept) == doctest::Approx(3).epsilon(1e-12));
  CHECK(fit.r2 == doctest::Approx(1).epsilon(1e-13));
}

TEST_CASE("line_fit: bad input is named") {
  std::vector<double> one{1}, two{1, 2}, three{1, 2, 3}, equal{2, 2}, bad{1, NAN}, zero{0, 2};
  CHECK_THROWS_WITH_AS(line_fit(two, three), "line_fit: 2 x and 3 y must be as many", ValueError);
  CHECK_THROWS_WITH_AS(line_fit(one, one), "line_fit: a line needs two points, got 1", ValueError);
  CHECK_THROWS_WITH_AS(line_fit(two, bad), "line_fit: point 1 is not finite", ValueError);
  CHECK_THROWS_WITH_AS(line_fit(equal, two), "line_fit: all x are 2", ValueError);
  CHECK_THROWS_WITH_AS(power_law_fit(zero, two), "power_law_fit: point 0 (0, 1) must be positive", ValueError);
}

TEST_CASE("line_fit: equal x whose mean is rounded are equal all the same") {
  std::vector<double> x(6, 0.1), y{1, 2, 4, 3, 5, 6};
  CHECK_THROWS_WITH_AS(line_fit(x, y), doctest::Contains("all x are 0.1"), ValueError);
}
