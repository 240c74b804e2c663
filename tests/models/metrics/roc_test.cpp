// ROC curves and areas against counted pairs.
#include "models/metrics/roc.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/core/generator.h"

using namespace plumb;
using namespace plumb::metrics;

TEST_CASE("roc_auc: a worked example, perfect, reversed and useless scores") {
  Tensor losses = tensor({0.1, 0.2, 0.3, 0.9, 0.25, 0.6, 0.8, 1.2}, f64), member = tensor({0, 0, 0, 0, 1, 1, 1, 1});
  CHECK(roc_auc(losses, member) == doctest::Approx(0.75));
  CHECK(roc_auc(tensor({1.0, 2.0, 3.0}), tensor({false, true, true})) == 1);
  CHECK(roc_auc(tensor({3.0, 2.0, 1.0}), tensor({false, true, true})) == 0);
  CHECK(roc_auc(tensor({7.0, 7.0, 7.0}), tensor({0, 1, 1})) == 0.5);
}

TEST_CASE("roc_auc: pairs counted one by one, with ties, agree") {
  Generator g(3);
  std::vector<double> scores, labels;
  for (int i = 0; i < 200; ++i) {
    labels.push_back(g.next_double() < 0.3 ? 1 : 0);
    scores.push_back(std::floor(10 * g.next_double() + 2 * labels.back()));
  }
  double right = 0, pairs = 0;
  for (size_t i = 0; i < 200; ++i)
    for (size_t j = 0; j < 200; ++j)
      if (labels[i] == 1 && labels[j] == 0) ++pairs, right += scores[i] > scores[j] ? 1 : scores[i] == scores[j] ? 0.5 : 0;
  Tensor s = from_vector(scores), l = from_vector(labels);
  CHECK(roc_auc(s, l) == doctest::Approx(right / pairs).epsilon(1e-12));

  RocCurve c = roc_curve(s, l);  // its trapezoids are the same area
  double area = 0;
  for (size_t i = 1; i < c.threshold.size(); ++i)
    area += (c.false_positive_rate[i] - c.false_positive_rate[i - 1]) * (c.true_positive_rate[i] + c.true_positive_rate[i - 1]) / 2;
  CHECK(area == doctest::Approx(right / pairs).epsilon(1e-12));
  CHECK(c.true_positive_rate.back() == 1);
  CHECK(c.false_positive_rate.back() == 1);
}

TEST_CASE("roc_curve and the Youden threshold: four scores") {
  RocCurve c = roc_curve(tensor({0.9, 0.8, 0.7, 0.1}, f64), tensor({1, 0, 1, 0}));
  CHECK(c.threshold == std::vector<double>{INFINITY, 0.9, 0.8, 0.7, 0.1});
  CHECK(c.true_positive_rate == std::vector<double>{0, 0.5, 0.5, 1, 1});
  CHECK(c.false_positive_rate == std::vector<double>{0, 0, 0.5, 0.5, 1});
  CHECK(youden_threshold(c) == 0.9);  // 0.5 there and at 0.7: the higher
}

TEST_CASE("average precision: by hand, and with ties as one step") {
  // positives at places 1 and 3: ½ · 1 + ½ · 2/3
  CHECK(average_precision(tensor({0.9, 0.8, 0.7, 0.1}, f64), tensor({1, 0, 1, 0})) == doctest::Approx(0.5 + 1.0 / 3));
  CHECK(average_precision(tensor({1.0, 1.0, 1.0, 1.0}), tensor({1, 0, 1, 0})) == doctest::Approx(0.5));
  CHECK(average_precision(tensor({1.0, 2.0}), tensor({1, 1})) == 1);
}

TEST_CASE("macro_roc_auc: each class against the rest") {
  Tensor p = tensor({{0.8, 0.1, 0.1}, {0.5, 0.4, 0.1}, {0.6, 0.3, 0.1}, {0.2, 0.7, 0.1}}, f64), labels = tensor({0, 0, 1, 1});
  // class 0: positives 0.8, 0.5, negatives 0.6, 0.2 → 3/4; class 1: positives 0.3, 0.7, negatives 0.1, 0.4 → 3/4; class 2 does not occur
  CHECK(macro_roc_auc(p, labels) == doctest::Approx(0.75));
  CHECK_THROWS_WITH_AS(macro_roc_auc(p, tensor({1, 1, 1, 1})), "macro_roc_auc: the labels are all of one class", ValueError);
}

TEST_CASE("roc: bad input is named") {
  CHECK_THROWS_WITH_AS(roc_auc(tensor({1.0, 2.0}), tensor({1, 1})), "roc_auc: there are no negatives among 2 examples", ValueError);
  CHECK_THROWS_WITH_AS(roc_auc(tensor({1.0, 2.0}), tensor({0, 0})), "roc_auc: there are no positives among 2 examples", ValueError);
  CHECK_THROWS_WITH_AS(roc_auc(tensor({1.0, NAN}), tensor({0, 1})), "roc_auc: score 1 is NaN", ValueError);
  CHECK_THROWS_WITH_AS(roc_auc(tensor({1.0, 2.0}), tensor({0, 2})), "roc_auc: label 1 must be 0 or 1, it is 2", ValueError);
  CHECK_THROWS_WITH_AS(roc_auc(tensor({1.0, 2.0}), tensor({0})), "roc_auc: takes scores [n] and labels [n], got [2] and [1]", ShapeError);
}
