// The confusion matrix: every measure counted by hand, absent classes, ignored pixels.
#include "models/metrics/confusion.h"

#include <doctest/doctest.h>

#include <cmath>

using namespace plumb;
using namespace plumb::metrics;

namespace {
ConfusionMatrix example() {
  ConfusionMatrix m(3);
  m.add(tensor({0, 0, 1, 1, 2, 2}), tensor({0, 0, 0, 1, 1, 2}));
  return m;
}
}  // namespace

TEST_CASE("confusion matrix: six examples of three classes, counted") {
  ConfusionMatrix m = example();
  CHECK(m.total() == 6);
  CHECK(m.count(0, 1) == 1);
  CHECK(m.count(1, 0) == 0);
  CHECK(m.accuracy() == doctest::Approx(4.0 / 6));
  CHECK(m.recalls() == std::vector<double>{2.0 / 3, 0.5, 1});
  CHECK(m.precisions() == std::vector<double>{1, 0.5, 0.5});
  CHECK(m.balanced_accuracy() == doctest::Approx((2.0 / 3 + 0.5 + 1) / 3));
  CHECK(m.f1() == std::vector<double>{0.8, 0.5, 2.0 / 3});
  CHECK(m.macro_f1() == doctest::Approx((0.8 + 0.5 + 2.0 / 3) / 3));
  CHECK(m.iou() == std::vector<double>{2.0 / 3, 1.0 / 3, 0.5});
  CHECK(m.mean_iou() == doctest::Approx(0.5));
  CHECK(m.mean_dice(false) == doctest::Approx((0.5 + 2.0 / 3) / 2));
}

TEST_CASE("confusion matrix: kappa by its definition, with every weighting") {
  ConfusionMatrix m = example();
  // chance: labels (3, 2, 1) and predictions (2, 2, 2) of 6 agree in 12 / 36; weighted disagreement by chance is 32 / 6 and 48 / 6
  CHECK(m.kappa() == doctest::Approx(0.5));
  CHECK(m.kappa(ConfusionMatrix::Weights::linear) == doctest::Approx(1 - 2 / (32.0 / 6)));
  CHECK(m.kappa(ConfusionMatrix::Weights::quadratic) == doctest::Approx(1 - 2 / 8.0));
  ConfusionMatrix constant(2);
  constant.add(tensor({0, 0}), tensor({0, 0}));
  CHECK(std::isnan(constant.kappa()));
}

TEST_CASE("confusion matrix: batches add up, ignored labels and absent classes do not count") {
  ConfusionMatrix whole = example(), parts(3, 255);
  parts.add(tensor({{0, 0}, {1, 9}}), tensor({{0, 0}, {0, 255}}));  // the prediction at an ignored place is not looked at
  parts.add(tensor({1, 2, 2}), tensor({1, 1, 2}));
  CHECK(parts.mean_iou() == whole.mean_iou());
  ConfusionMatrix four(4);
  four.add(tensor({0, 0, 1, 1, 2, 2}), tensor({0, 0, 0, 1, 1, 2}));
  CHECK(std::isnan(four.recalls()[3]));
  CHECK(four.balanced_accuracy() == doctest::Approx(whole.balanced_accuracy()));
  CHECK(four.mean_iou() == doctest::Approx(whole.mean_iou()));
  CHECK(std::isnan(ConfusionMatrix(2).accuracy()));
}

TEST_CASE("confusion matrix: what does not fit is named and nothing is counted") {
  ConfusionMatrix m(2);
  CHECK_THROWS_WITH_AS(m.add(tensor({0, 1}), tensor({0, 2})), "ConfusionMatrix: label 2 is outside [0, 2)", IndexError);
  CHECK_THROWS_WITH_AS(m.add(tensor({0, -1}), tensor({0, 1})), "ConfusionMatrix: prediction -1 is outside [0, 2)", IndexError);
  CHECK_THROWS_WITH_AS(m.add(tensor({0, 1}), tensor({0})), "ConfusionMatrix: predictions [2] and labels [1] differ", ShapeError);
  CHECK_THROWS_WITH_AS(m.add(tensor({0.5}), tensor({0})), "ConfusionMatrix: takes class numbers, got f32", DTypeError);
  CHECK_THROWS_WITH_AS(ConfusionMatrix(0), "ConfusionMatrix: needs at least 1 class, got 0", ValueError);
  CHECK(m.total() == 0);
}

TEST_CASE("accuracy, balanced accuracy and F1 of plain predictions") {
  Tensor predicted = tensor({1, 1, 1, 1, 0}), labels = tensor({1, 1, 1, 0, 0});
  CHECK(accuracy(predicted, labels) == doctest::Approx(0.8));
  CHECK(balanced_accuracy(predicted, labels) == doctest::Approx(0.75));
  CHECK(balanced_accuracy(tensor({5, 0}), tensor({7, 0})) == doctest::Approx(0.5));  // class 5 has no labels
  CHECK(balanced_accuracy(tensor({int64_t{1} << 60, 0}), tensor({int64_t{1} << 60, 1})) == doctest::Approx(0.5));
  CHECK(f1_score(predicted, labels) == doctest::Approx(6.0 / 7));
  CHECK(f1_score(tensor({true, false}), tensor({false, false})) == 0);
  CHECK(f1_score(tensor({0, 0}), tensor({0, 0})) == 0);
  CHECK_THROWS_WITH_AS(accuracy(zeros({0}, i64), zeros({0}, i64)), "accuracy: there are no labels", ValueError);
}

TEST_CASE("top-k accuracy: ties go to the lower class") {
  Tensor scores = tensor({{0.1, 0.7, 0.2}, {0.4, 0.4, 0.2}, {0.3, 0.3, 0.4}}), labels = tensor({2, 1, 1});
  CHECK(top_k_accuracy(scores, labels, 1) == 0);
  CHECK(top_k_accuracy(scores, labels, 2) == doctest::Approx(2.0 / 3));  // in the third row class 0 comes before 1
  CHECK(top_k_accuracy(scores, labels, 3) == 1);
  CHECK_THROWS_WITH_AS(top_k_accuracy(scores, labels, 4),
                       "top_k_accuracy: k = 4 must lie in [1, C] and there must be rows; scores are [3, 3]", ValueError);
  CHECK_THROWS_WITH_AS(top_k_accuracy(scores, tensor({0, 3, 0}), 1), "top_k_accuracy: label 3 is outside [0, 3)", IndexError);
}

TEST_CASE("top-k accuracy: scores that are NaN are never right") {
  CHECK(top_k_accuracy(full({2, 3}, NAN), from_vector(std::vector<int64_t>{0, 2}), 1) == 0);
}
