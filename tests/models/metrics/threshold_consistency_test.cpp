// Rates along thresholds, OPIS and its extremes by worked numbers, and what they do not depend on.
#include "models/metrics/threshold_consistency.h"

#include <doctest/doctest.h>

#include <cmath>

#include "ops/index.h"
#include "ops/join.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::metrics;

namespace {

Tensor worked() {
  return tensor({{1.0, 0.0, 0.0}, {0.9, 0.1, 0.2}, {0.2, 1.0, 0.0}, {0.8, 0.6, 0.0}, {0.0, 0.3, 1.0}, {0.5, 0.0, 0.5}}, f64);
}
Tensor labels() { return tensor({0, 0, 1, 1, 2, 2}); }
const std::vector<double> kThresholds{0.5, 0.6, 0.7, 0.8, 0.9};

// 12 examples of 4 classes around directions of their own.
struct Clouds {
  Tensor rows, labels;
};
Clouds clouds(uint64_t seed) {
  Generator g(seed);
  Tensor centres = randn({4, 5}, {.dtype = f64, .generator = &g}), labels = tensor({0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3});
  return {index_select(centres, 0, labels) + randn({12, 5}, {.dtype = f64, .generator = &g}) * 0.7, labels};
}

}  // namespace

TEST_CASE("class_utility_curves: the worked example") {
  ClassUtilityCurves c = class_utility_curves(worked(), labels(), kThresholds);
  CHECK(c.classes == std::vector<int64_t>{0, 1, 2});
  CHECK(c.skipped == 0);
  std::vector<std::vector<double>> wanted{
      {.666667, .666667, .666667, .769231, 1}, {.769231, .857143, .857143, 0, 0}, {.769231, .857143, 0, 0, 0}};
  for (size_t k = 0; k < 3; ++k)
    for (size_t i = 0; i < 5; ++i) CHECK(c.utility[k][i] == doctest::Approx(wanted[k][i]).epsilon(2e-6));
  CHECK(opis(c) == doctest::Approx(0.0967204).epsilon(1e-6));
  ExtremeGap gap = eps_opis(c);
  CHECK(gap.absolute == doctest::Approx(.544414).epsilon(2e-6));
  CHECK(gap.squared == doctest::Approx(.394425).epsilon(2e-6));
}

TEST_CASE("opis: 0 for classes that are alike, the same however examples stand and classes are called") {
  // Two classes that mirror each other.
  Tensor mirrored = tensor({{1.0, 0.2}, {1.0, -0.1}, {0.2, 1.0}, {-0.1, 1.0}}, f64);
  ClassUtilityCurves alike = class_utility_curves(mirrored, tensor({4, 4, 9, 9}), {-0.2, 0.3, 0.9, 0.99});
  CHECK(opis(alike) == doctest::Approx(0));
  CHECK(eps_opis(alike).absolute == doctest::Approx(0));

  Clouds some = clouds(3);
  auto score = [](const Tensor& rows, const Tensor& given) { return opis(class_utility_curves(rows, given, {0.1, 0.4, 0.8})); };
  double plain = score(some.rows, some.labels);
  CHECK(plain > 0);
  Tensor order = tensor({7, 2, 11, 0, 5, 9, 1, 10, 3, 8, 4, 6});
  CHECK(score(index_select(some.rows, 0, order), index_select(some.labels, 0, order)) == doctest::Approx(plain));
  CHECK(score(some.rows, 30 - some.labels * 7) == doctest::Approx(plain));
  CHECK(score(some.rows * 3.0, some.labels) == doctest::Approx(plain));
  Generator g(2);
  CHECK(score(matmul(some.rows, qr(randn({5, 5}, {.dtype = f64, .generator = &g})).q), some.labels) == doctest::Approx(plain));
  // Copies are pairs of similarity 1 and raise every TPR: take them out first.
  double doubled = score(cat({some.rows, some.rows}, 0), cat({some.labels, some.labels}, 0));
  CHECK(std::abs(doubled - plain) > 1e-6);
}

TEST_CASE("threshold_at_far: quantiles of the similarities of different classes") {
  // Similarities of different classes in the plane: cos 90°, cos 60°, cos 45°, cos 15°.
  auto direction = [](double degrees) { return std::pair{std::cos(degrees * M_PI / 180), std::sin(degrees * M_PI / 180)}; };
  std::vector<double> rows;
  for (double degrees : {0.0, 30.0, 90.0, 45.0}) {
    auto [x, y] = direction(degrees);
    rows.insert(rows.end(), {x, y});
  }
  Tensor e = from_vector(rows, {4, 2}), l = tensor({0, 0, 1, 1});
  std::vector<double> s{std::cos(M_PI / 2), std::cos(M_PI / 3), std::cos(M_PI / 4), std::cos(M_PI / 12)};
  CHECK(threshold_at_far(e, l, 1.0 / 3) == doctest::Approx(s[2]));
  CHECK(threshold_at_far(e, l, 0.5) == doctest::Approx((s[1] + s[2]) / 2));
  CHECK(threshold_at_far(e, l, 1.0 / 6) == doctest::Approx((s[2] + s[3]) / 2));
  // Nearest: 0° → 30°, 30° → 45° (wrong), 90° → 45°, 45° → 30° (wrong).
  CHECK(recall_at_1(e, l) == 0.5);
}

TEST_CASE("threshold_consistency: says what its parts say") {
  Clouds some = clouds(5);
  ConsistencyOptions o{.far_low = 0.05, .far_high = 0.3, .points = 21, .epsilon = 0.25};
  ThresholdConsistency all = threshold_consistency(some.rows, some.labels, o);
  double from = threshold_at_far(some.rows, some.labels, 0.3), to = threshold_at_far(some.rows, some.labels, 0.05);
  CHECK(all.threshold == doctest::Approx(to));
  std::vector<double> t;
  for (int i = 0; i <= 20; ++i) t.push_back(from + (to - from) * i / 20);
  ClassUtilityCurves c = class_utility_curves(some.rows, some.labels, t);
  CHECK(all.opis == doctest::Approx(opis(c)));
  CHECK(all.extremes.absolute == doctest::Approx(eps_opis(c, 0.25).absolute));
  CHECK(all.recall_at_1 == recall_at_1(some.rows, some.labels));
  double mean = 0, spread = 0;
  for (const auto& tpr : c.tpr) mean += (1 - tpr.back()) / 4;
  for (const auto& tpr : c.tpr) spread += std::pow(1 - tpr.back() - mean, 2) / 4;
  CHECK(all.frr == doctest::Approx(mean));  // classes of one size
  CHECK(all.frr_spread == doctest::Approx(std::sqrt(spread)));
  CHECK(mean > 0);
}

TEST_CASE("threshold_consistency: classes of one example are left out and counted; mistakes") {
  Tensor e = cat({worked(), tensor({{0.0, -1.0, 0.0}}, f64)}, 0), l = cat({labels(), tensor({7})}, 0);
  ClassUtilityCurves c = class_utility_curves(e, l, kThresholds);
  CHECK(c.skipped == 1);
  CHECK(c.classes == std::vector<int64_t>{0, 1, 2});
  CHECK_THROWS_WITH_AS(class_utility_curves(e, l, {0.5}), "class_utility_curves: needs at least two thresholds", ValueError);
  CHECK_THROWS_WITH_AS(class_utility_curves(e, l, {0.5, 0.5}), "class_utility_curves: thresholds must ascend, 0.5 comes after 0.5",
                       ValueError);
  CHECK_THROWS_WITH_AS(class_utility_curves(worked(), tensor({1, 1, 1, 1, 1, 1}), kThresholds),
                       "class_utility_curves: needs at least two classes", ValueError);
  CHECK_THROWS_WITH_AS(class_utility_curves(worked(), tensor({1, 2, 3, 4, 5, 6}), kThresholds),
                       "class_utility_curves: no class has two examples", ValueError);
  CHECK_THROWS_WITH_AS(recall_at_1(tensor({{1.0, 0.0}, {0.0, 0.0}}), tensor({0, 1})),
                       "threshold_consistency: embedding 1 is 0 or not finite", ValueError);
  CHECK_THROWS_AS(recall_at_1(worked(), tensor({0, 1})), ShapeError);
  CHECK_THROWS_WITH_AS(threshold_at_far(worked(), labels(), 1), "threshold_at_far: the rate 1 is outside (0, 1)", ValueError);
  CHECK_THROWS_WITH_AS(threshold_consistency(worked(), labels(), {.far_low = 0.2, .far_high = 0.1}),
                       "threshold_consistency: rates must satisfy 0 < 0.2 < 0.1 < 1", ValueError);
  CHECK_THROWS_WITH_AS(threshold_consistency(tensor({{1.0, 0.0}, {1.0, 0.0}, {0.0, 1.0}, {0.0, 1.0}}, f64), tensor({0, 0, 1, 1})),
                       "threshold_consistency: the thresholds of both rates are 0", ValueError);
  CHECK_THROWS_WITH_AS(eps_opis(c, 0), "eps_opis: epsilon 0 is outside (0, 0.5]", ValueError);
}
