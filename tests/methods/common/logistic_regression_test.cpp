// Logistic regression: solved numbers, limits, and what is refused.
#include "methods/common/logistic_regression.h"

#include <doctest/doctest.h>

#include <cmath>

#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::methods;
using plumb::test::difference;
using plumb::test::sample;

namespace {

const Tensor& six_points() {
  static const Tensor x = tensor({{0.0, 0.0}, {1.0, 0.0}, {0.0, 1.0}, {1.0, 1.0}, {0.0, 2.0}, {2.0, 0.0}}, f64);
  return x;
}

void check_close(const Tensor& x, std::initializer_list<double> expected, double absolute) {
  std::vector<double> v = to_vector(x);
  REQUIRE(v.size() == expected.size());
  for (size_t i = 0; i < v.size(); ++i) CHECK(std::abs(v[i] - expected.begin()[i]) < absolute);
}

}  // namespace

TEST_CASE("logistic_regression: four points on a line") {
  LogisticRegression lr(tensor({{0.0}, {1.0}, {2.0}, {3.0}}, f64), tensor({0, 0, 1, 1}), 2, {.gradient_tolerance = 1e-8});
  check_close(lr.weight(), {-0.680683, 0.680683}, 1e-6);
  std::vector<double> b = to_vector(lr.bias());
  CHECK(b[1] - b[0] == doctest::Approx(-2.042050).epsilon(1e-6));
  CHECK(lr.objective() == doctest::Approx(1.526619).epsilon(1e-6));
  CHECK(to_vector<int64_t>(lr.predict(tensor({{1.4}, {1.6}}))) == std::vector<int64_t>{0, 1});
}

TEST_CASE("logistic_regression: three classes in the plane, a small gradient, rows that sum to 0") {
  LogisticRegression lr(six_points(), tensor({0, 1, 2, 1, 2, 1}), 3, {.gradient_tolerance = 1e-8});
  check_close(lr.weight(), {-0.416978, -0.493783, 0.908762, -0.205414, -0.491784, 0.699198}, 1e-6);
  CHECK(lr.objective() == doctest::Approx(3.963429).epsilon(1e-6));
  check_close(lr.probabilities(tensor({{0.5, 0.5}})), {0.213324, 0.493953, 0.292723}, 1e-6);
  LogisticRegression usual(six_points(), tensor({0, 1, 2, 1, 2, 1}), 3);
  CHECK(usual.converged());
  CHECK(usual.gradient() < 1e-4);
  check_close(sum(usual.weight(), {0}), {0, 0}, 1e-12);
  check_close(sum(usual.bias()), {0}, 1e-12);
}

TEST_CASE("logistic_regression: without data's weight, W is 0 and b the classes' frequencies") {
  LogisticRegression lr(six_points(), tensor({0, 1, 2, 1, 2, 1}), 3, {.c = 1e-6, .gradient_tolerance = 1e-13});
  check_close(lr.weight(), {0, 0, 0, 0, 0, 0}, 1e-5);
  std::vector<double> b = to_vector(lr.bias());
  CHECK(b[1] - b[0] == doctest::Approx(std::log(3.0)).epsilon(1e-4));
  CHECK(b[2] - b[0] == doctest::Approx(std::log(2.0)).epsilon(1e-4));
}

TEST_CASE("logistic_regression: every sample twice is the same as C doubled; no intercept when not asked for") {
  Tensor y = tensor({0, 1, 2, 1, 2, 1});
  LogisticRegression twice(cat({six_points(), six_points()}), cat({y, y}), 3, {.gradient_tolerance = 1e-10});
  LogisticRegression doubled(six_points(), y, 3, {.c = 2, .gradient_tolerance = 1e-10});
  CHECK(difference(twice.weight(), doubled.weight()) < 1e-8);
  LogisticRegression through(six_points(), y, 3, {.intercept = false});
  CHECK(to_vector(through.bias()) == std::vector<double>{0, 0, 0});
}

TEST_CASE("logistic_regression: what does not fit is refused") {
  Tensor x = six_points(), y = tensor({0, 1, 2, 1, 2, 1});
  CHECK_THROWS_WITH_AS(LogisticRegression(x, y, 4), "logistic_regression: class 3 has no sample", ValueError);
  CHECK_THROWS_WITH_AS(LogisticRegression(x, y, 2), "logistic_regression: label 2 is outside [0, 2)", IndexError);
  CHECK_THROWS_WITH_AS(LogisticRegression(x, zeros({6}, i64), 2), "logistic_regression: all 6 labels are of one class", ValueError);
  CHECK_THROWS_WITH_AS(LogisticRegression(x, y, 1), "logistic_regression: needs at least 2 classes, got 1", ValueError);
  CHECK_THROWS_WITH_AS(LogisticRegression(x, y, 3, {.c = -1}), "logistic_regression: C must be finite and not negative, it is -1",
                       ValueError);
  Tensor bad = clone(x);
  bad.data<double>()[5] = INFINITY;
  CHECK_THROWS_WITH_AS(LogisticRegression(bad, y, 3), "logistic_regression: feature 1 of row 2 is not finite", ValueError);
  CHECK_THROWS_WITH_AS(LogisticRegression(x, tensor({0, 1}), 2),
                       "logistic_regression: features [6, 2] and labels [2] must be [m, n] and [m], m and n at least 1", ShapeError);
  CHECK_THROWS_AS(LogisticRegression(x, ones({6}), 2), DTypeError);
  LogisticRegression fitted(x, y, 3);
  CHECK_THROWS_WITH_AS(fitted.scores(zeros({2, 3})), "logistic_regression: features [2, 3] must be [m, 2]", ShapeError);
}

TEST_CASE("reference_cross_entropy: two logits against class 0, and large ones") {
  Tensor a = tensor({{0.3, -0.2}}, f64);
  CHECK(reference_cross_entropy(a, tensor({1})).item() == doctest::Approx(0.853287).epsilon(1e-6));
  check_close(reference_probabilities(a), {0.426013, 0.258390}, 1e-6);
  CHECK(reference_cross_entropy(tensor({{800.0}, {-800.0}}, f64), tensor({0, 0})).item() == doctest::Approx(800).epsilon(1e-12));
}

TEST_CASE("reference_regression: the gradient vanishes at its end, and it never ends above its start") {
  Tensor x = sample({30, 3}, 1), y = to(select(x, 1, 0) + sample({30}, 2) > 0, i64);
  Tensor w = reference_regression(x, y, zeros({3, 1}, f64), 0, 1e-9);
  Tensor gradient = matmul(mT(x), reference_probabilities(matmul(x, w)) - reshape(to(y, f64), {30, 1}));
  check_close(gradient, {0, 0, 0}, 1e-6);  // where the loss, about 10, no longer tells points apart
  Tensor again = reference_regression(x, y, w, 0, 1e-30);
  CHECK(reference_cross_entropy(matmul(x, again), y).item() <= reference_cross_entropy(matmul(x, w), y).item());
  CHECK_THROWS_WITH_AS(reference_regression(x, y, zeros({2, 1}, f64)),
                       "reference_regression: features [30, 3] and weights [2, 1] must be [n, d] and [d, k]", ShapeError);
  CHECK_THROWS_AS(reference_regression(x, y, w, -1), ValueError);
}
