// Tests of differences against counted patterns and closed forms.
#include "models/metrics/hypothesis.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "engine/core/error.h"

using namespace plumb;

namespace {
std::vector<double> nothing(size_t n) { return std::vector<double>(n, 0.0); }
}  // namespace

TEST_CASE("paired_t_test: three differences in closed form") {
  std::vector<double> a{2, 4, 6}, b{1, 2, 3};  // differences 1, 2, 3: t = 2√3; P(|T₂| > t) = 1 − t / √(2 + t²)
  TestResult r = paired_t_test(a, b);
  CHECK(r.statistic == doctest::Approx(2 * std::sqrt(3.0)));
  CHECK(r.p_value == doctest::Approx(1 - 2 * std::sqrt(3.0) / std::sqrt(14.0)));
  CHECK(paired_t_test(b, a).statistic == doctest::Approx(-r.statistic));
  CHECK(paired_t_test(a, a).p_value == 1);
  CHECK(paired_t_test(std::vector<double>{2, 3}, std::vector<double>{1, 2}).p_value == 0);
}

TEST_CASE("sign_flip_test: all patterns, and random ones where there are too many") {
  std::vector<double> d{1, 2, 3};
  CHECK(sign_flip_test(d, nothing(3)).p_value == doctest::Approx(2.0 / 8));
  CHECK(sign_flip_test(d, nothing(3)).statistic == doctest::Approx(2));
  std::vector<double> mixed{1, -2, 3};  // |Σ| ≥ 2 for ±(1+2+3), ±(1−2+3), ±(−1+2+3): 6 of 8
  CHECK(sign_flip_test(mixed, nothing(3)).p_value == doctest::Approx(6.0 / 8));
  std::vector<double> tenths{0.1, 0.2, -0.3};  // their sum is 0 but for rounding: every pattern counts
  CHECK(sign_flip_test(tenths, nothing(3)).p_value == 1);
  std::vector<double> many(30, 1.0);
  Generator g(1);
  CHECK(sign_flip_test(many, nothing(30), 999, &g).p_value == doctest::Approx(1.0 / 1000));
  for (size_t i = 0; i < 30; i += 2) many[i] = -1;  // a sum of 0
  CHECK(sign_flip_test(many, nothing(30), 999, &g).p_value == 1);
}

TEST_CASE("wilcoxon_test: exact sums of ranks, with ties and zeros, and the approximation beyond") {
  std::vector<double> d{1, 2, 3, 4, 5}, one{1, -2, 3, 4, 5}, tied{1, 1, -1, 0};
  CHECK(wilcoxon_test(d, nothing(5)).statistic == 15);
  CHECK(wilcoxon_test(d, nothing(5)).p_value == doctest::Approx(2.0 / 32));
  CHECK(wilcoxon_test(one, nothing(5)).statistic == 13);
  CHECK(wilcoxon_test(one, nothing(5)).p_value == doctest::Approx(6.0 / 32));  // {}, {1}, {2} on either side
  CHECK(wilcoxon_test(tied, nothing(4)).statistic == 4);
  CHECK(wilcoxon_test(tied, nothing(4)).p_value == 1);
  CHECK(wilcoxon_test(nothing(3), nothing(3)).p_value == 1);
  std::vector<double> sixty, more;  // of 60 (exact) and 61 (approximate) the p-values are near
  for (int i = 1; i <= 61; ++i) {
    if (i <= 60) sixty.push_back(i % 3 == 0 ? -i : i);
    more.push_back(i % 3 == 0 ? -i : i);
  }
  CHECK(wilcoxon_test(more, nothing(61)).p_value == doctest::Approx(wilcoxon_test(sixty, nothing(60)).p_value).epsilon(0.25));
  double deviation = std::sqrt(61.0 * 62 * 123 / 6 / 4), below = 61.0 * 62 / 4 - 630;  // 630: the ranks 3 + 6 + … + 60
  CHECK(wilcoxon_test(more, nothing(61)).p_value == doctest::Approx(std::erfc(below / deviation / std::sqrt(2.0))).epsilon(1e-9));
}

TEST_CASE("mcnemar_test: 5 against 1 of the disagreements") {
  std::vector<double> a{1, 1, 1, 1, 1, 0, 1, 0}, b{0, 0, 0, 0, 0, 1, 1, 0};
  CHECK(mcnemar_test(a, b).statistic == 4);
  CHECK(mcnemar_test(a, b).p_value == doctest::Approx(2 * 7.0 / 64));
  CHECK(mcnemar_test(a, a).p_value == 1);
  CHECK_THROWS_WITH_AS(mcnemar_test(std::vector<double>{2}, std::vector<double>{0}), "mcnemar_test: value 0 must be 0 or 1, it is 2",
                       ValueError);
}

TEST_CASE("permutation_test: two of six ways are as extreme") {
  std::vector<double> a{3, 4}, b{1, 2};
  Generator g(2);
  TestResult r = permutation_test(a, b, 20000, &g);
  CHECK(r.statistic == doctest::Approx(2));
  CHECK(r.p_value == doctest::Approx(2.0 / 6).epsilon(0.04));  // three standard deviations are 3 %
  std::vector<double> same{5, 5};
  CHECK(permutation_test(same, same, 100, &g).p_value == 1);
}

TEST_CASE("tests: bad input is named") {
  std::vector<double> two{1, 2}, one{1}, bad{1, INFINITY};
  CHECK_THROWS_WITH_AS(paired_t_test(two, one), "paired_t_test: 2 values beside 1; they must be pairs", ValueError);
  CHECK_THROWS_WITH_AS(paired_t_test(one, one), "paired_t_test: needs at least 2 pairs, got 1", ValueError);
  CHECK_THROWS_WITH_AS(wilcoxon_test(two, bad), "wilcoxon_test: the difference of pair 1 is not finite", ValueError);
  CHECK_THROWS_WITH_AS(sign_flip_test(two, two, 0), "sign_flip_test: needs at least 1 sample, got 0", ValueError);
  CHECK_THROWS_WITH_AS(permutation_test({}, one), "permutation_test: a sample is empty", ValueError);
}

TEST_CASE("paired_t_test: equal differences whose mean is rounded are beyond all doubt") {
  std::vector<double> a(10, 0.1), b(10, 0.0);
  CHECK(paired_t_test(a, b).p_value == 0);
  CHECK(std::isinf(paired_t_test(a, b).statistic));
}
