// Correlations: worked ranks, ties, and Kendall's pairs counted one by one.
#include "models/metrics/correlation.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/generator.h"

using namespace plumb;

TEST_CASE("rank correlations: five scores worked out independently") {
  std::vector<double> a{0.31, -0.12, 0.05, 0.44, -0.30}, b{-1.10, -1.32, -1.05, -0.98, -1.29};
  CHECK(kendall_correlation(a, b) == doctest::Approx(0.6));
  CHECK(spearman_correlation(a, b) == doctest::Approx(0.8));
  CHECK(kendall_correlation(b, a) == doctest::Approx(0.6));
  std::vector<double> up{1, 2, 3, 4}, down{40, 30, 20, -10};
  CHECK(kendall_correlation(up, down) == -1);
  CHECK(spearman_correlation(up, down) == doctest::Approx(-1));
  CHECK(pearson_correlation(up, up) == doctest::Approx(1));
}

TEST_CASE("pearson_correlation: by its formula, and not moved by scale") {
  std::vector<double> a{1, 2, 4}, b{2, 1, 6};  // deviations (-4, -1, 5)/3 and (-1, -2, 3)
  CHECK(pearson_correlation(a, b) == doctest::Approx((4 + 2 + 15) / 3.0 / std::sqrt(42.0 / 9 * 14)));
  std::vector<double> large{1e9 + 2, 1e9 + 1, 1e9 + 6};
  CHECK(pearson_correlation(a, large) == doctest::Approx(pearson_correlation(a, b)).epsilon(1e-12));
}

TEST_CASE("ranks: ties share or keep their order") {
  std::vector<double> v{3, 1, 3, 2, 3};
  CHECK(average_ranks(v) == std::vector<double>{4, 1, 4, 2, 4});
  CHECK(ordinal_ranks(v) == std::vector<double>{3, 1, 4, 2, 5});
}

TEST_CASE("kendall_correlation: as counting all pairs, with ties in both") {
  Generator g(5);
  for (size_t n : {2u, 3u, 17u, 60u}) {
    std::vector<double> a, b;
    for (size_t i = 0; i < n; ++i) a.push_back(std::floor(8 * g.next_double())), b.push_back(std::floor(5 * g.next_double()));
    a[0] = -1, b[1] = -1;
    double balance = 0, free_a = 0, free_b = 0;
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < i; ++j) {
        double product = (a[i] - a[j]) * (b[i] - b[j]);
        balance += product > 0 ? 1 : product < 0 ? -1 : 0;
        free_a += a[i] != a[j] ? 1 : 0;
        free_b += b[i] != b[j] ? 1 : 0;
      }
    CHECK(kendall_correlation(a, b) == doctest::Approx(balance / std::sqrt(free_a * free_b)).epsilon(1e-12));
  }
}

TEST_CASE("correlations: constants have none, bad input is named") {
  std::vector<double> one{1, 1, 1}, up{1, 2, 3}, two{1, 2}, bad{1, NAN, 3};
  CHECK(std::isnan(pearson_correlation(one, up)));
  CHECK(std::isnan(spearman_correlation(one, up)));
  CHECK(std::isnan(kendall_correlation(one, up)));
  CHECK_THROWS_WITH_AS(spearman_correlation(up, two), "spearman_correlation: 3 values beside 2; they must be pairs", ValueError);
  CHECK_THROWS_WITH_AS(kendall_correlation(up, bad), "kendall_correlation: value 1 is NaN", ValueError);
  CHECK_THROWS_WITH_AS(pearson_correlation({}, {}), "pearson_correlation: needs at least 2 pairs, got 0", ValueError);
}

TEST_CASE("correlations: of constants whose mean is rounded there is none") {
  std::vector<double> v(10, 0.1);
  CHECK(std::isnan(pearson_correlation(v, v)));
}
