// Accuracies and errors by the number of training examples: small cases worked by hand.
#include "models/metrics/shot_groups.h"

#include <doctest/doctest.h>

#include <cmath>

using namespace plumb;
using metrics::ShotAccuracy, metrics::ShotErrors;

TEST_CASE("shot accuracy: classes with many, a medium number and few training examples are judged apart") {
  // Counts 500, 100, 20, 19: the limits themselves belong to the middle.
  Tensor labels = tensor({0, 0, 1, 1, 2, 2, 3, 3, 3}), predicted = tensor({0, 1, 1, 1, 2, 0, 3, 0, 0});
  ShotAccuracy a = metrics::shot_accuracy(predicted, labels, {500, 100, 20, 19});
  CHECK(a.all == doctest::Approx(5.0 / 9));
  CHECK(a.many == doctest::Approx(0.5));
  CHECK(a.medium == doctest::Approx(0.75));
  CHECK(a.few == doctest::Approx(1.0 / 3));
  ShotAccuracy other = metrics::shot_accuracy(predicted, labels, {500, 100, 20, 19}, {.many_above = 50, .few_below = 20});
  CHECK(other.many == doctest::Approx(0.75));
  CHECK(other.medium == doctest::Approx(0.5));
}

TEST_CASE("shot accuracy: a group without test examples is NaN, mistakes are named") {
  ShotAccuracy a = metrics::shot_accuracy(tensor({0, 0}), tensor({0, 1}), {500, 200});
  CHECK(a.many == doctest::Approx(0.5));
  CHECK(std::isnan(a.medium));
  CHECK(std::isnan(a.few));
  CHECK_THROWS_AS(metrics::shot_accuracy(tensor({0, 0}), tensor({0, 2}), {500, 200}), IndexError);
  CHECK_THROWS_AS(metrics::shot_accuracy(tensor({0}), tensor({0, 1}), {500, 200}), ShapeError);
  CHECK_THROWS_WITH_AS(metrics::shot_accuracy(zeros({0}, i64), zeros({0}, i64), {500, 200}), "shot_accuracy: there are no examples",
                       ValueError);
}

TEST_CASE("shot errors: mean and geometric mean by the training examples of a target's bin") {
  Tensor train = tensor({0.1, 0.4, 0.9, 1.2, 1.7, 5.5});  // bins 0: 3, 1: 2, 5: 1
  Tensor targets = tensor({0.5, 0.5, 1.5, 5.0, 9.0}), predictions = tensor({0.0, 2.5, 0.5, 9.0, 7.0});
  ShotErrors e = metrics::shot_errors(predictions, targets, train, 1, {.many_above = 2, .few_below = 2});
  CHECK(e.many.mean == doctest::Approx(1.25));  // 0.5 and 2
  CHECK(e.many.geometric == doctest::Approx(1.0));
  CHECK(e.medium.mean == doctest::Approx(1.0));
  CHECK(e.few.mean == doctest::Approx(3.0));  // 4 and, in a bin without training examples, 2
  CHECK(e.few.geometric == doctest::Approx(std::sqrt(8.0)));
  CHECK(e.all.mean == doctest::Approx(9.5 / 5));
  CHECK(std::isnan(metrics::shot_errors(predictions, targets, train, 1).many.mean));
  ShotErrors exact = metrics::shot_errors(targets, targets, train);
  CHECK(exact.all.mean == 0);
  CHECK(exact.all.geometric == doctest::Approx(1e-10));
}

TEST_CASE("shot errors: mistakes are named") {
  Tensor one = tensor({1.0}), two = tensor({1.0, 2.0});
  CHECK_THROWS_WITH_AS(metrics::shot_errors(one, two, one), "shot_errors: 1 predictions for 2 targets", ShapeError);
  CHECK_THROWS_WITH_AS(metrics::shot_errors(one, one, one, 0), "shot_errors: the bins' width must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(metrics::shot_errors(two, tensor({1.0, NAN}), one), "shot_errors: target 1 is NaN", ValueError);
  CHECK_THROWS_WITH_AS(metrics::shot_errors(zeros({0}), zeros({0}), one), "shot_errors: there are no examples", ValueError);
  CHECK_THROWS_WITH_AS(metrics::shot_errors(zeros({1, 1}), one, one), "shot_errors: prediction [1, 1] must be [n]", ShapeError);
}
