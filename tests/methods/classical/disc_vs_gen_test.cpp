// Naive Bayes against logistic regression: worked numbers, invariances, mixtures whose least error is known, and the experiment.
#include "methods/classical/disc_vs_gen/disc_vs_gen.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>
#include <set>

#include "methods/classical/disc_vs_gen/mixtures.h"
#include "methods/common/logistic_regression.h"
#include "methods/runner.h"
#include "models/metrics/normal.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/linalg.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "tests/methods/check_close.h"
#include "tests/methods/measured.h"
#include "tests/ops/samples.h"

namespace plumb::methods::disc_vs_gen {
Experiment experiment();
}

using namespace plumb;
using namespace plumb::methods::disc_vs_gen;
using plumb::methods::LogisticRegression;
using plumb::test::difference;
using plumb::test::sample;

namespace {

const Tensor& six_rows() {
  static const Tensor x = tensor({{0.0, 1.0}, {1.0, 1.0}, {2.0, 4.0}, {5.0, 3.0}, {6.0, 5.0}, {7.0, 4.0}}, f64);
  return x;
}
const Tensor& six_labels() {
  static const Tensor y = tensor({0, 0, 0, 1, 1, 1});
  return y;
}

}  // namespace

TEST_CASE("naive_bayes: two classes in the plane by hand, as scores and as a line") {
  GaussianNB nb(2);
  nb.fit(six_rows(), six_labels());
  check_close(nb.means(), {1, 2, 6, 4}, 1e-12);
  check_close(nb.class_variances(), {0.666667, 2, 0.666667, 0.666667}, 1e-6);
  check_close(nb.pooled_variance(), {0.666667, 1.333333}, 1e-6);
  check_close(nb.priors(), {0.5, 0.5}, 1e-12);
  Tensor x = tensor({{3.0, 3.0}}, f64);
  check_close(nb.scores(x), {-4.068147, -7.818147}, 1e-6);
  check_close(nb.probabilities(x), {0.977023, 0.0229774}, 1e-6);
  GaussianNB::Linear line = nb.as_linear();
  check_close(line.weight, {1.5, 1.5, 9, 3}, 1e-6);
  check_close(line.bias, {-2.943147, -33.693147}, 1e-6);
  check_close(softmax(linear(x, line.weight, line.bias), -1), {0.977023, 0.0229774}, 1e-6);
  CHECK(nb.predict(x).item<int64_t>() == 0);
}

TEST_CASE("naive_bayes: two batches merge into what one fit gives") {
  GaussianNB parts(2), whole(2);
  parts.partial_fit(tensor({{0.0, 1.0}, {1.0, 1.0}, {5.0, 3.0}, {6.0, 5.0}}, f64), tensor({0, 0, 1, 1}));
  parts.partial_fit(tensor({{2.0, 4.0}, {7.0, 4.0}}, f64), tensor({0, 1}));
  whole.fit(six_rows(), six_labels());
  check_close(parts.class_variances(), {0.666667, 2, 0.666667, 0.666667}, 1e-6);
  CHECK(difference(parts.class_variances(), whole.class_variances()) < 1e-14);
  CHECK(difference(parts.means(), whole.means()) < 1e-14);
  // A class that comes later.
  GaussianNB late(2);
  late.partial_fit(narrow(six_rows(), 0, 0, 3), narrow(six_labels(), 0, 0, 3));
  CHECK_THROWS_WITH_AS(late.scores(six_rows()), "naive_bayes: class 1 has no sample", ValueError);
  late.partial_fit(narrow(six_rows(), 0, 3, 3), narrow(six_labels(), 0, 3, 3));
  CHECK(difference(late.scores(six_rows()), whole.scores(six_rows())) < 1e-13);
}

TEST_CASE("naive_bayes: a variance for each class gives the densities' logarithms") {
  GaussianNB nb(2, {.var_smoothing = 0, .shared_variance = false});
  nb.fit(six_rows(), six_labels());
  auto log_density = [](double x, double m, double v) { return -0.5 * std::log(2 * std::numbers::pi * v) - (x - m) * (x - m) / (2 * v); };
  double a = std::log(0.5) + log_density(3, 1, 2.0 / 3) + log_density(3.5, 2, 2),
         b = std::log(0.5) + log_density(3, 6, 2.0 / 3) + log_density(3.5, 4, 2.0 / 3);
  std::vector<double> s = to_vector(nb.scores(tensor({{3.0, 3.5}}, f64)));
  CHECK(s[0] - s[1] == doctest::Approx(a - b).epsilon(1e-12));
  CHECK_THROWS_WITH_AS(nb.as_linear(), "naive_bayes: with a variance for each class the scores are not linear", ValueError);
}

TEST_CASE("naive_bayes: moving, scaling, reordering and doubling the data change nothing") {
  Tensor x = sample({40, 5}, 1), y = remainder(to(arange(40), i64), full({40}, 3, i64)), asked = sample({7, 5}, 2);
  GaussianNB nb(3), other(3), none(3, {.var_smoothing = 0});
  nb.fit(x, y);
  Tensor posterior = nb.probabilities(asked);
  other.fit(x + 1000, y);
  CHECK(difference(other.probabilities(asked + 1000), posterior) < 1e-9);  // 1000² ε of rounding in the sums of squares
  Tensor units = tensor({1.0, 100.0, 0.01, 3.0, 1e4}, f64);
  none.fit(x, y);
  Tensor exact = none.probabilities(asked);
  none.fit(x * units, y);
  CHECK(difference(none.probabilities(asked * units), exact) < 1e-12);
  other.fit(x * units, y);
  CHECK(difference(other.probabilities(asked * units), posterior) < 1e-4);  // the floor, against a variance of 1e-4
  Tensor order = randperm(40);
  other.fit(index_select(x, 0, order), index_select(y, 0, order));
  CHECK(difference(other.probabilities(asked), posterior) < 1e-12);
  other.fit(cat({x, x}), cat({y, y}));
  CHECK(difference(other.probabilities(asked), posterior) < 1e-12);
}

TEST_CASE("naive_bayes: what does not fit is refused") {
  CHECK_THROWS_WITH_AS(GaussianNB(1), "naive_bayes: needs at least 2 classes, got 1", ValueError);
  CHECK_THROWS_AS(GaussianNB(2, {.var_smoothing = -1}), ValueError);
  GaussianNB nb(3), two(2);
  CHECK_THROWS_WITH_AS(nb.scores(six_rows()), "naive_bayes: nothing was fitted yet", ValueError);
  CHECK_THROWS_WITH_AS(nb.fit(six_rows(), six_labels()), "naive_bayes: class 2 has no sample", ValueError);
  CHECK_THROWS_WITH_AS(two.fit(six_rows(), zeros({6}, i64)), "naive_bayes: all 6 labels are of one class", ValueError);
  CHECK_THROWS_WITH_AS(two.fit(six_rows(), six_labels() * 2), "naive_bayes: label 2 is outside [0, 2)", IndexError);
  Tensor bad = clone(six_rows());
  bad.data<double>()[3] = NAN;
  CHECK_THROWS_WITH_AS(two.fit(bad, six_labels()), "naive_bayes: feature 1 of row 1 is not finite", ValueError);
  two.fit(six_rows(), six_labels());
  CHECK_THROWS_WITH_AS(two.partial_fit(zeros({2, 3}), tensor({0, 1})), "naive_bayes: features [2, 3] must be [m, 2]", ShapeError);
  CHECK_THROWS_AS(two.scores(zeros({2, 3})), ShapeError);
}

TEST_CASE("logistic_h_consistency: three values, and never below t^2 / 2") {
  CHECK(logistic_h_consistency(0.1) == doctest::Approx(0.00500837).epsilon(1e-8));
  CHECK(logistic_h_consistency(0.5) == doctest::Approx(0.130812).epsilon(1e-6));
  CHECK(logistic_h_consistency(0.9) == doctest::Approx(0.494632).epsilon(1e-6));
  CHECK(zero_one_bound(logistic_h_consistency(0.1)) == doctest::Approx(0.100084).epsilon(1e-6));
  CHECK(zero_one_bound(logistic_h_consistency(0.5)) == doctest::Approx(0.511492).epsilon(1e-6));
  CHECK(zero_one_bound(logistic_h_consistency(0.9)) == doctest::Approx(0.994617).epsilon(1e-6));
  for (double t = 0.001; t <= 1; t += 0.001) CHECK(logistic_h_consistency(t) >= t * t / 2);
  CHECK(logistic_h_consistency(1) == doctest::Approx(std::numbers::ln2).epsilon(1e-15));
  CHECK_THROWS_AS(logistic_h_consistency(1.1), ValueError);
}

TEST_CASE("min_max_scaler: the rows' own range; constant features and rows outside are not squeezed") {
  MinMaxScaler scale(tensor({{0.0, 5.0}, {4.0, 5.0}, {2.0, 5.0}}));
  check_close(scale(tensor({{0.0, 5.0}, {4.0, 6.0}, {-2.0, 3.0}})), {0, 0, 1, 1, -0.5, -2}, 1e-12);
  CHECK_THROWS_AS(MinMaxScaler(zeros({3})), ShapeError);
}

TEST_CASE("gaussian_mixture: the least error in closed form, and what the best rule really misses") {
  auto easy = [](int64_t n, int64_t k) { return bayes_error(gaussian_mixture_easy(n, k)); };
  CHECK(easy(2, 2) == doctest::Approx(0.110336).epsilon(1e-6));
  CHECK(easy(4, 2) == doctest::Approx(0.0569231).epsilon(1e-7));
  CHECK(easy(10, 2) == doctest::Approx(normal_cdf(-std::sqrt(5.5))).epsilon(1e-12));
  CHECK(std::abs(easy(20, 3) - 0.0355) < 5e-5);
  CHECK(std::abs(easy(40, 3) - 0.00786) < 5e-6);
  CHECK(std::abs(easy(50, 3) - 0.0039) < 5e-5);
  Generator g(1);
  for (bool hard : {false, true}) {
    Mixture mixture = hard ? gaussian_mixture_hard(6, 3, 1.5, g) : gaussian_mixture_easy(6, 3);
    LabelledRows rows = draw(mixture, 20'000, g);
    Tensor covariance = diag(square(mixture.deviation));
    if (hard) covariance = covariance + matmul(mixture.loadings, mT(mixture.loadings));
    Tensor weight = mT(solve(covariance, mT(mixture.means))), bias = sum(weight * mixture.means, {1}) * -0.5;
    double missed = error_rate([&](const Tensor& x) { return argmax(linear(x, weight, bias), -1); }, rows.x, rows.y);
    double expected = bayes_error(mixture), deviation = std::sqrt(expected * (1 - expected) / 20'000);
    CHECK(std::abs(missed - expected) < 4.5 * deviation);
  }
  CHECK(separation(gaussian_mixture_easy(7, 2)) == doctest::Approx(std::sqrt(3.0 / 7 + 4)).epsilon(1e-12));
  CHECK_THROWS_WITH_AS(gaussian_mixture_easy(1, 2), "gaussian_mixture: needs 2 features and 2 classes, got 1 and 2", ValueError);
  CHECK_THROWS_WITH_AS(draw(gaussian_mixture_easy(4, 5), 4, g), "gaussian_mixture: 4 rows cannot have all 5 classes", ValueError);
}

TEST_CASE("gaussian_mixture: every draw has all classes, and the stated variances") {
  Generator g(2);
  Mixture mixture = gaussian_mixture_easy(8, 5);
  for (int i = 0; i < 20; ++i) {
    std::vector<int64_t> y = to_vector<int64_t>(draw(mixture, 10, g).y);
    CHECK(std::set<int64_t>(y.begin(), y.end()).size() == 5);
  }
  LabelledRows many = draw(mixture, 20'000, g);
  std::vector<double> v = to_vector(var(many.x - index_select(mixture.means, 0, many.y), {0}));
  for (size_t j = 0; j < 8; ++j) CHECK(std::abs(v[j] / (j < 4 ? 8 : 1) - 1) < 4.5 * std::sqrt(2.0 / 20'000));
}

TEST_CASE("sample_complexity: by steps and by halves where the error falls; the grid is the paper's") {
  CHECK(sample_grid(100, 2, 22) == std::vector<int64_t>{4, 9, 14, 19});
  std::vector<int64_t> grid = sample_grid(50, 3, 500);
  for (int64_t needed : {int64_t{1}, int64_t{6}, int64_t{7}, int64_t{50}, int64_t{300}, grid.back()}) {
    int asked = 0;
    auto error = [&](int64_t m) {
      ++asked;
      return m >= needed ? 0.0 : 1.0;
    };
    int64_t walked = sample_complexity(grid, 0.5, error);
    asked = 0;
    CHECK(sample_complexity_by_halves(grid, 0.5, error) == walked);
    CHECK(asked <= 16);
    CHECK(walked >= needed);
  }
  CHECK(sample_complexity(grid, 0.5, [](int64_t) { return 1.0; }) == -1);
  CHECK(sample_complexity_by_halves(grid, 0.5, [](int64_t) { return 1.0; }) == -1);
  CHECK(sample_complexity_by_halves({}, 0.5, [](int64_t) { return 0.0; }) == -1);
}

TEST_CASE("draw_all_classes: different rows, every class; what cannot be drawn is refused") {
  Generator g(3);
  Tensor labels = cat({zeros({90}, i64), full({9}, 1, i64), full({1}, 2, i64)});
  for (int i = 0; i < 10; ++i) {
    std::vector<int64_t> rows = to_vector<int64_t>(draw_all_classes(labels, 3, 30, g));
    CHECK(std::set<int64_t>(rows.begin(), rows.end()).size() == 30);
    CHECK(std::set<int64_t>(rows.begin(), rows.end()).contains(99));
  }
  CHECK_THROWS_WITH_AS(draw_all_classes(labels, 3, 2, g),
                       "draw_all_classes: 2 rows must be at least the 3 classes and at most the 100 rows that there are", ValueError);
  CHECK_THROWS_WITH_AS(draw_all_classes(labels, 4, 20, g), "draw_all_classes: class 3 has no sample", ValueError);
}

TEST_CASE("logistic_by_sgd: learns what is easy, the same for the same generator; bad input is named") {
  Tensor x = sample({200, 3}, 20), y = to(select(x, 1, 1) > 0.2, i64);
  Generator a(1), b(1);
  auto first = logistic_by_sgd(x, y, 2, {.lr = 1, .epochs = 30, .batch = 32}, a),
       second = logistic_by_sgd(x, y, 2, {.lr = 1, .epochs = 30, .batch = 32}, b);
  CHECK(error_rate(first, x, y) < 0.05);
  CHECK(to_vector<int64_t>(first(x)) == to_vector<int64_t>(second(x)));
  CHECK_THROWS_WITH_AS(logistic_by_sgd(x, y, 3, {}, a), "logistic_by_sgd: class 2 has no sample", ValueError);
  CHECK_THROWS_WITH_AS(logistic_by_sgd(x, y, 2, {.lr = 0}, a), "logistic_by_sgd: the rate, epochs and batch must be positive", ValueError);
}

TEST_CASE("naive bayes needs few samples however many features there are, logistic regression more of them") {
  manual_seed(4);
  Generator g(5);
  auto needed = [&](int64_t n, bool bayes) {
    Mixture mixture = gaussian_mixture_easy(n, 2);
    LabelledRows test = draw(mixture, 1000, g);
    return sample_complexity_by_halves(sample_grid(n, 2, 8 * n), bayes_error(mixture) + 0.01, [&](int64_t m) {
      double total = 0;
      for (int i = 0; i < 3; ++i) {
        LabelledRows train = draw(mixture, m, g);
        if (bayes) {
          GaussianNB nb(2);
          nb.fit(train.x, train.y);
          total += error_rate([&](const Tensor& x) { return nb.predict(x); }, test.x, test.y);
        } else {
          LogisticRegression lr(train.x, train.y, 2, {.iterations = 300, .gradient_tolerance = 1e-3});
          total += error_rate([&](const Tensor& x) { return lr.predict(x); }, test.x, test.y);
        }
      }
      return total / 3;
    });
  };
  int64_t bayes = needed(120, true), logistic = needed(120, false);
  CHECK(bayes > 0);
  CHECK(bayes <= 24);     // about 9, whatever n is
  CHECK(logistic >= 60);  // about 140
  CHECK(logistic <= 400);
}

TEST_CASE("disc_vs_gen: the experiment runs, and its variants measure what they should") {
  methods::Results results =
      methods::run_experiment({"classical", "disc_vs_gen", &experiment, {}}, {.budget = methods::Budget::smoke, .seeds = 1});
  CHECK(results.cells.size() == experiment().variants.size());
  for (const std::string source : {"synthetic", "supervised features", "rotation features", "raw digits"}) {
    std::string few = "error at m = 50, " + source + " (%)", many = "error at the largest m, " + source + " (%)";
    for (const std::string variant : {"LR", "LR, best C", "NB, floor 1e-3"}) {
      CAPTURE(source);
      CAPTURE(variant);
      CHECK(measured(results, variant, many) < measured(results, variant, few));
    }
    CHECK(measured(results, "LR, best C", few) <= measured(results, "LR", few));
  }
  CHECK(measured(results, "NB", "error at m = 50, raw digits (%)") < 50);  // chance misses 90
}
