// Bootstrap intervals: their arithmetic on known resamples, known standard errors, coverage, bad input; the normal distribution.
#include "models/metrics/bootstrap.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "engine/core/error.h"
#include "models/metrics/normal.h"

using namespace plumb;

TEST_CASE("normal_quantile: known values, and the inverse of normal_cdf far out") {
  CHECK(normal_quantile(0.975) == doctest::Approx(1.959963984540054).epsilon(1e-14));
  CHECK(normal_quantile(0.5) == doctest::Approx(0).epsilon(1e-15));
  CHECK(normal_quantile(1e-300) == doctest::Approx(-37.0471).epsilon(1e-5));
  for (double p : {1e-200, 1e-12, 0.01, 0.3, 0.49999, 0.7, 0.999})
    CHECK(normal_cdf(normal_quantile(p)) == doctest::Approx(p).epsilon(1e-12));
  CHECK_THROWS_WITH_AS(normal_quantile(1), "normal_quantile: p must lie in (0, 1), got 1", ValueError);
}

TEST_CASE("bootstrap: percentiles of the resamples, moved by bias and acceleration") {
  std::vector<double> resampled;
  for (int i = 0; i <= 1000; ++i) resampled.push_back(i / 1000.0);
  auto plain = detail::interval_of_resamples(0.5, resampled, {}, 0.9);
  CHECK(plain.low == doctest::Approx(0.05));
  CHECK(plain.high == doctest::Approx(0.95));
  CHECK(plain.standard_error == doctest::Approx(std::sqrt(1001 * 1002 / 12.0) / 1000));  // of evenly spaced numbers
  // Symmetric jackknife values: no acceleration. 600.5 of 1001 resamples below the estimate: both ends move by twice that quantile.
  double bias = normal_quantile(600.5 / 1001);
  std::vector<double> even{-1, 0, 1};
  auto moved = detail::interval_of_resamples(0.6, resampled, even, 0.9);
  CHECK(moved.low == doctest::Approx(normal_cdf(2 * bias + normal_quantile(0.05))).epsilon(1e-9));
  CHECK(moved.high == doctest::Approx(normal_cdf(2 * bias + normal_quantile(0.95))).epsilon(1e-9));
  // Jackknife values (-2, 1, 1): deviations from the mean 2, -1, -1, a = 6 / (6 · 6^1.5).
  std::vector<double> skewed{-2, 1, 1};
  double a = 1 / std::pow(6.0, 1.5), z = normal_quantile(0.95);
  CHECK(detail::interval_of_resamples(0.5, resampled, skewed, 0.9).high == doctest::Approx(normal_cdf(z / (1 - a * z))).epsilon(1e-9));
}

TEST_CASE("bootstrap_mean: the standard error of the mean, the same for the same seed, covering the truth") {
  std::vector<double> values;
  for (int i = 0; i < 50; ++i) values.push_back(i % 10);  // mean 4.5, variance 8.25
  Generator g(1), again(1);
  auto interval = bootstrap_mean(values, {.resamples = 4000, .generator = &g});
  CHECK(interval.estimate == doctest::Approx(4.5));
  CHECK(interval.standard_error == doctest::Approx(std::sqrt(8.25 / 50)).epsilon(0.04));  // ± 1.1 % for 4000 resamples
  CHECK(interval.low == doctest::Approx(4.5 - 1.96 * std::sqrt(8.25 / 50)).epsilon(0.02));
  CHECK(bootstrap_mean(values, {.resamples = 4000, .generator = &again}).low == interval.low);

  Generator draws(2);
  int covered = 0;
  for (int t = 0; t < 100; ++t) {
    std::vector<double> sample;
    for (int i = 0; i < 30; ++i) sample.push_back(-std::log(1 - draws.next_double()));  // exponential: mean 1, skewed
    auto found = bootstrap_mean(sample, {.resamples = 400, .generator = &draws});
    covered += found.low <= 1 && 1 <= found.high ? 1 : 0;
  }
  CHECK(covered >= 84);  // about 93 % are expected
  CHECK(covered < 100);
}

TEST_CASE("bootstrap: any statistic, and leaving out each example once") {
  std::vector<double> v{1, 2, 3, 4, 5};
  std::vector<double> sums;
  Generator g(3);
  auto statistic = [&](std::span<const int64_t> examples) {
    double total = 0;
    for (int64_t i : examples) total += v[static_cast<size_t>(i)];
    if (examples.size() == 4) sums.push_back(total);
    return total / static_cast<double>(examples.size());
  };
  bootstrap(5, statistic, {.resamples = 10, .generator = &g});
  CHECK(sums == std::vector<double>{14, 13, 12, 11, 10});
  CHECK_THROWS_WITH_AS(bootstrap(1, statistic), "bootstrap: needs at least 2 examples, got 1", ValueError);
  CHECK_THROWS_WITH_AS(bootstrap(5, statistic, {.level = 1}), "bootstrap: level must lie in (0, 1), got 1", ValueError);
  CHECK_THROWS_WITH_AS(bootstrap(5, statistic, {.resamples = 1}), "bootstrap: needs at least 2 resamples, got 1", ValueError);
  CHECK_THROWS_WITH_AS(bootstrap(5, [](std::span<const int64_t>) { return NAN; }), "bootstrap: the statistic of the examples is NaN",
                       ValueError);
  auto nan_where = [](auto&& holds) {
    return [holds](std::span<const int64_t> examples) { return holds(examples) ? NAN : static_cast<double>(examples[0]); };
  };
  CHECK_THROWS_WITH_AS(bootstrap(5, nan_where([](auto at) { return at.size() == 5 && at[0] == at[1]; })),
                       "bootstrap: the statistic of a resample is NaN", ValueError);
  CHECK_THROWS_WITH_AS(bootstrap(5, nan_where([](auto at) { return at.size() == 4; })),
                       "bootstrap: the statistic without one of the examples is NaN", ValueError);
}
