// Inverse participation ratios by worked numbers.
#include "models/metrics/participation.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

using namespace plumb;

namespace {

std::vector<double> wave(size_t n, double frequency, double phase, double offset = 0) {
  std::vector<double> a;
  for (size_t i = 0; i < n; ++i)
    a.push_back(offset + std::cos(2 * std::numbers::pi * frequency * static_cast<double>(i) / static_cast<double>(n) + phase));
  return a;
}

}  // namespace

TEST_CASE("inverse_participation_ratio: one frequency gives 1, whatever its phase; so does a constant") {
  for (double frequency : {1.0, 3.0, 48.0})
    for (double phase : {0.0, 0.4, 2.0}) CHECK(std::abs(inverse_participation_ratio(wave(97, frequency, phase)) - 1) < 1e-12);
  CHECK(std::abs(inverse_participation_ratio(std::vector<double>(11, -0.3)) - 1) < 1e-12);
  CHECK(inverse_participation_ratio(wave(97, 5, 0.1, 0.7)) < 0.9);  // the offset is a frequency of its own
  for (double scale : {1e-200, 1e200}) {
    std::vector<double> a = wave(13, 2, 1);
    for (double& v : a) v *= scale;
    CHECK(std::abs(inverse_participation_ratio(a) - 1) < 1e-12);
  }
}

TEST_CASE("inverse_participation_ratio: worked numbers") {
  CHECK(std::abs(inverse_participation_ratio(std::vector<double>{0, 0, 1, 0, 0, 0, 0}) - 0.25) < 1e-12);  // 4 equal magnitudes
  CHECK(inverse_participation_ratio(std::vector<double>{1, 2, 3, 4, 5}) == doctest::Approx(0.816000).epsilon(1e-6));
  CHECK(inverse_participation_ratio(std::vector<double>{1, -2, 0.5, 3, -1, 0, 2}) == doctest::Approx(0.605442).epsilon(1e-6));
  // |rfft|² of (1, 2, 3, 4, 5): 225, 18.09017, 6.90983; with r = 1 shares add up to 1, with r = 3 they are cubed.
  CHECK(inverse_participation_ratio(std::vector<double>{1, 2, 3, 4, 5}, 1) == doctest::Approx(1));
  CHECK(inverse_participation_ratio(std::vector<double>{1, 2, 3, 4, 5}, 3) ==
        doctest::Approx((std::pow(225, 3) + std::pow(18.09017, 3) + std::pow(6.90983, 3)) / std::pow(250, 3)).epsilon(1e-6));
}

TEST_CASE("inverse_participation_ratios: each row by itself, NaN for a row of zeros") {
  std::vector<double> both =
      inverse_participation_ratios(tensor({{1.0, 2.0, 3.0, 4.0, 5.0}, {0.0, 0.0, 0.0, 0.0, 0.0}, {2.0, 2.0, 2.0, 2.0, 2.0}}));
  REQUIRE(both.size() == 3);
  CHECK(both[0] == doctest::Approx(0.816000).epsilon(1e-6));
  CHECK(std::isnan(both[1]));
  CHECK(both[2] == doctest::Approx(1));
}

TEST_CASE("inverse_participation_ratio: mistakes") {
  CHECK_THROWS_WITH_AS(inverse_participation_ratio(std::vector<double>(5, 0.0)), "inverse_participation_ratio: all numbers are 0",
                       ValueError);
  CHECK_THROWS_WITH_AS(inverse_participation_ratio({}), "inverse_participation_ratio: there are no numbers", ValueError);
  CHECK_THROWS_WITH_AS(inverse_participation_ratio(std::vector<double>{1, 2}, 0),
                       "inverse_participation_ratio: the order must be 1 or more, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(inverse_participation_ratio(std::vector<double>{1, NAN}),
                       "inverse_participation_ratio: row 0 has a number that is not finite", ValueError);
  CHECK_THROWS_AS(inverse_participation_ratios(tensor({1.0, 2.0})), ShapeError);
}
