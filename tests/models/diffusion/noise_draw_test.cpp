// Drawn noise levels and places: their laws, by counts.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "models/diffusion/noise_draw.h"

using namespace plumb;
using namespace plumb::diffusion;

TEST_CASE("draw_places: each by its share, never one of weight 0") {
  Generator g(1);
  constexpr int64_t n = 20'000;
  auto places = draw_places({1, 0, 3, 4}, n, g);
  for (int64_t i = 0; i < 4; ++i) {
    double p = std::vector<double>{0.125, 0, 0.375, 0.5}[static_cast<size_t>(i)],
           share = static_cast<double>(std::count(places.begin(), places.end(), i)) / n;
    CHECK(std::abs(share - p) <= 4.5 * std::sqrt(p * (1 - p) / n));
  }
  CHECK(draw_places({2}, 3, g) == std::vector<int64_t>{0, 0, 0});
  CHECK(draw_places({2}, 0, g).empty());
  CHECK_THROWS_WITH_AS(draw_places({1, -1}, 1, g), "draw_places: weights must not be negative, one is -1", ValueError);
  CHECK_THROWS_WITH_AS(draw_places({}, 1, g), "draw_places: needs a positive weight, there are 0 and their sum is 0", ValueError);
}

TEST_CASE("karras_uniform_sigmas: uniform after the root, down to the depth asked for") {
  Generator g(2);
  constexpr int64_t n = 10'000;
  double top = std::pow(80, 1.0 / 7), bottom = std::pow(0.002, 1.0 / 7), sum = 0, least = 1;
  for (double s : to_vector(karras_uniform_sigmas(n, {}, g))) {
    double u = (std::pow(s, 1.0 / 7) - top) / (bottom - top);
    sum += u;
    least = std::min(least, 0.7 - u);
    CHECK((u > -1e-6 && u < 0.7 + 1e-6));
  }
  CHECK(std::abs(sum / n - 0.35) < 4 * 0.7 / std::sqrt(12.0 * n));
  CHECK(least < 0.001);
  CHECK_THROWS_WITH_AS(karras_uniform_sigmas(1, {.depth = 0}, g), "karras_uniform_sigmas: depth must lie in (0, 1], it is 0",
                       ValueError);
  CHECK_THROWS_AS(karras_uniform_sigmas(1, {.sigma_min = 90}, g), ValueError);
}

TEST_CASE("lognormal_and_high_sigmas: the first half has EDM's moments, the second is high") {
  Generator g(3);
  auto s = to_vector(lognormal_and_high_sigmas(4001, {}, g));
  REQUIRE(s.size() == 4001);
  double mean = 0;
  for (size_t i = 0; i < 2001; ++i) mean += std::log(s[i]) / 2001;
  CHECK(std::abs(mean + 1.2) < 4 * 1.2 / std::sqrt(2001.0));
  double lowest = std::pow(std::pow(80, 1.0 / 7) + 0.7 * (std::pow(0.002, 1.0 / 7) - std::pow(80, 1.0 / 7)), 7);
  CHECK(*std::min_element(s.begin() + 2001, s.end()) > lowest * (1 - 1e-5));
  CHECK_THROWS_AS(lognormal_and_high_sigmas(4, {.std = 0}, g), ValueError);
}
