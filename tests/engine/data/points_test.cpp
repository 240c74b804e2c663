// Made-up points: on their curves without noise, spread as asked with it, and the same bits everywhere.
#include "engine/data/points.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/data/internal/portable_math.h"
#include "engine/io/sha256.h"

using namespace plumb;
using data::Dataset;

static std::vector<double> row(const Dataset& d, int64_t i) { return to_vector(d[i].features); }

TEST_CASE("portable log, sine and cosine agree with the C library's to the last bits") {
  double worst_log = 0, worst_turn = 0;
  Generator g(1);
  for (int i = 0; i < 20000; ++i) {
    double x = 1 - g.next_double(), u = 8 * g.next_double() - 4;
    if (i % 2) x = std::ldexp(x, i % 200 - 100);
    worst_log = std::max(worst_log, std::abs(data::portable_log(x) - std::log(x)) / std::max(std::abs(std::log(x)), 1e-3));
    auto [s, c] = data::sin_cos_turns(u);
    double angle = 6.2831853071795865 * (u - std::floor(u));
    worst_turn = std::max({worst_turn, std::abs(s - std::sin(angle)), std::abs(c - std::cos(angle))});
  }
  CHECK(worst_log < 4 * 2.3e-16);
  CHECK(worst_turn < 1.2e-15);  // the oracle's own angle is rounded: 2π·½ulp(1) = 7e-16
  CHECK(data::sin_cos_turns(0.25) == std::pair(1.0, data::sin_cos_turns(0.25).second));
  CHECK(data::sin_cos_turns(0.5).second == -1.0);
  CHECK(data::portable_log(1.0) == 0.0);
}

TEST_CASE("normal draws have the moments of N(0, 1), and the same bits on every machine") {
  Generator g(7);
  double sum = 0, sum2 = 0, sum4 = 0;
  const int n = 40000;
  Sha256 hash;
  for (int i = 0; i < n; ++i) {
    double z = data::normal(g);
    if (i < 1000) hash.update(&z, sizeof z);
    sum += z;
    sum2 += z * z;
    sum4 += z * z * z * z;
  }
  CHECK(std::abs(sum / n) < 4 / std::sqrt(n));
  CHECK(std::abs(sum2 / n - 1) < 4 * std::sqrt(2.0 / n));
  CHECK(std::abs(sum4 / n - 3) < 4 * std::sqrt(96.0 / n));
  CHECK(hash.hex() == "2d6c3808247bdb73ec319ee3a6e422791b2d5217dae7c52a3e7ced9cff66ddf6");
}

TEST_CASE("two_moons: noiseless points lie on the two half circles") {
  Dataset d = data::two_moons(101, {.noise = 0});
  CHECK(d.size() == 101);
  for (int64_t i = 0; i < 101; ++i) {
    int64_t moon = d[i].label.item<int64_t>();
    CHECK(moon == i % 2);
    double x = row(d, i)[0], y = row(d, i)[1];
    double dx = moon == 0 ? x : x - 1, dy = moon == 0 ? y : 0.5 - y;
    CHECK(std::hypot(dx, dy) == doctest::Approx(1).epsilon(1e-6));
    CHECK(dy >= -1e-6);
  }
  CHECK(row(d, 0) == std::vector<double>{1, 0});
  CHECK(row(d, 100)[0] == -1);
  CHECK(row(d, 1) == std::vector<double>{0, 0.5});
  CHECK(row(data::two_moons(4, {.seed = 1}), 2) == row(data::two_moons(4, {.seed = 1}), 2));
  CHECK(row(data::two_moons(4, {.seed = 1}), 2) != row(data::two_moons(4, {.seed = 2}), 2));
  CHECK(data::two_moons(0).size() == 0);
  CHECK(data::two_moons(1).size() == 1);
  CHECK_THROWS_WITH_AS(data::two_moons(-1), "two_moons: the number of points must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(data::two_moons(3, {.noise = -1}), "two_moons: the standard deviation must not be negative, it is -1", ValueError);
}

TEST_CASE("spirals: radius and angle grow together, each arm a turn's share on") {
  Dataset d = data::spirals(90, {.arms = 3, .turns = 2, .noise = 0});
  for (int64_t i = 0; i < 90; ++i) {
    double x = row(d, i)[0], y = row(d, i)[1], r = std::hypot(x, y);
    CHECK(r == doctest::Approx(static_cast<double>(i / 3 + 1) / 30).epsilon(1e-6));
    double turns = std::atan2(y, x) / (2 * M_PI) - 2 * r - static_cast<double>(i % 3) / 3;
    CHECK(std::abs(turns - std::round(turns)) < 1e-6);
    CHECK(d[i].label.item<int64_t>() == i % 3);
  }
  CHECK_THROWS_WITH_AS(data::spirals(3, {.arms = 0}), "spirals: the number of arms must be at least 1, it is 0", ValueError);
}

TEST_CASE("blobs: every cloud is centred in the box with the spread asked for") {
  Dataset d = data::blobs(6000, {.centers = 3, .dimensions = 4, .spread = 0.5, .box = 10, .seed = 5});
  data::Batch all = d.batch(6000).next();
  std::vector<double> x = to_vector(all.features), sum(12), sum2(12);
  for (size_t i = 0; i < 6000; ++i)
    for (size_t k = 0; k < 4; ++k) {
      sum[i % 3 * 4 + k] += x[4 * i + k];
      sum2[i % 3 * 4 + k] += x[4 * i + k] * x[4 * i + k];
    }
  for (size_t j = 0; j < 12; ++j) {
    double mean = sum[j] / 2000, variance = sum2[j] / 2000 - mean * mean;
    CHECK(std::abs(mean) < 10.1);
    CHECK(variance == doctest::Approx(0.25).epsilon(0.15));  // standard error √(2/2000) = 3 %
  }
  CHECK_THROWS_WITH_AS(data::blobs(3, {.centers = 0}), "blobs: the number of centres must be at least 1, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(data::blobs(3, {.dimensions = 0}), "blobs: the number of dimensions must be at least 1, it is 0", ValueError);
}

TEST_CASE("gaussian_mixture: components have their weights, means and covariances") {
  data::GaussianMixture m;
  m.means = tensor({{0.0, 0.0}, {10.0, -10.0}});
  m.covariances = tensor({{{1.0, 0.0}, {0.0, 1.0}}, {{4.0, 1.2}, {1.2, 0.5}}});
  m.weights = {1, 3};
  const int64_t n = 20000;
  data::Batch all = data::gaussian_mixture(n, m, 3).batch(n).next();
  std::vector<double> x = to_vector(all.features);
  std::vector<int64_t> label = to_vector<int64_t>(all.label);
  double count = 0, mx = 0, my = 0, xx = 0, xy = 0, yy = 0;
  for (size_t i = 0; i < label.size(); ++i) {
    if (label[i] == 0) continue;
    double dx = x[2 * i] - 10, dy = x[2 * i + 1] + 10;
    count += 1, mx += dx, my += dy, xx += dx * dx, xy += dx * dy, yy += dy * dy;
  }
  CHECK(count / n == doctest::Approx(0.75).epsilon(0.02));
  CHECK(std::abs(mx / count) < 4 * 2 / std::sqrt(count));
  CHECK(std::abs(my / count) < 4 * 0.71 / std::sqrt(count));
  CHECK(xx / count == doctest::Approx(4).epsilon(0.06));
  CHECK(xy / count == doctest::Approx(1.2).epsilon(0.08));
  CHECK(yy / count == doctest::Approx(0.5).epsilon(0.06));
}

TEST_CASE("gaussian_mixture: what does not fit together is refused") {
  data::GaussianMixture m{.means = tensor({{0.0, 0.0}, {1.0, 1.0}})};
  CHECK(data::gaussian_mixture(5, m).size() == 5);
  m.weights = {1};
  CHECK_THROWS_WITH_AS(data::gaussian_mixture(5, m), "gaussian_mixture: 1 weights for 2 components", ShapeError);
  m.weights = {0, 0};
  CHECK_THROWS_WITH_AS(data::gaussian_mixture(5, m), "gaussian_mixture: all weights are 0", ValueError);
  m.weights = {2, -1};
  CHECK_THROWS_WITH_AS(data::gaussian_mixture(5, m), "gaussian_mixture: weights must not be negative, that of component 1 is -1",
                       ValueError);
  m.weights = {};
  m.covariances = tensor({{{1.0, 0.0}, {0.0, 1.0}}, {{1.0, 2.0}, {2.0, 1.0}}});
  CHECK_THROWS_WITH_AS(data::gaussian_mixture(5, m), "gaussian_mixture: the covariance of component 1 is not positive definite",
                       ValueError);
  m.covariances = tensor({{1.0, 1.0}});
  CHECK_THROWS_WITH_AS(data::gaussian_mixture(5, m), "gaussian_mixture: means [2, 2] with covariances [1, 2]", ShapeError);
  m.means = tensor({1.0});
  CHECK_THROWS_WITH_AS(data::gaussian_mixture(5, m), "gaussian_mixture: means [1]; they are [components, dimensions]", ShapeError);
}

TEST_CASE("ring and grid means") {
  std::vector<double> ring = to_vector(data::ring_means(4, 2)), grid = to_vector(data::grid_means(3, 2));
  CHECK(ring[0] == 2);
  CHECK(ring[3] == 2);
  CHECK(ring[4] == -2);
  CHECK(grid == std::vector<double>{-2, -2, 0, -2, 2, -2, -2, 0, 0, 0, 2, 0, -2, 2, 0, 2, 2, 2});
  CHECK_THROWS_WITH_AS(data::ring_means(0, 1), "ring_means: the number of points must be at least 1, it is 0", ValueError);
}
