// Datamodels and influence functions: the worked regression, exact recovery, and what is refused.
#include "methods/common/datamodel.h"

#include <doctest/doctest.h>

#include <cmath>

#include "ops/index.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/check_close.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

/// Worked example 3: all subsets of two of four examples, f = 0.5 + ⟨(1, −2, 0.25, 0), 1_S⟩.
Tensor pairs_of_four() { return tensor({{1, 1, 0, 0}, {1, 0, 1, 0}, {1, 0, 0, 1}, {0, 1, 1, 0}, {0, 1, 0, 1}, {0, 0, 1, 1}}); }
Tensor worked_outputs() { return tensor({-0.5, 1.75, 1.5, -1.25, -1.5, 0.75}, f64); }

DatamodelRegression fitted(const Tensor& masks, const Tensor& outputs, DatamodelOptions options) {
  DatamodelRegression regression(options);
  regression.fit(masks, outputs);
  return regression;
}

struct Linear {
  Tensor masks, beta, outputs;
};
/// Outputs that are linear in independent masks: [m, 2, 2].
Linear linear_problem(int64_t m, int64_t n) {
  Generator g(3);
  Tensor masks = subset_masks(m, n, 0.5, g), beta = randn({n, 2, 2}, {.dtype = f64, .generator = &g});
  return {masks, beta, reshape(matmul(to(masks, f64), flatten(beta, 1)), {m, 2, 2}) + tensor({{1.0, 2.0}, {3.0, 4.0}}, f64)};
}

}  // namespace

TEST_CASE("datamodel: worked example 3, centred ridge on subsets of fixed size") {
  check_close(fitted(pairs_of_four(), worked_outputs(), {.lambda = 1e-9}).coefficients(), {1.1875, -1.8125, 0.4375, 0.1875}, 1e-6);
  check_close(fitted(pairs_of_four(), worked_outputs(), {.lambda = 1}).coefficients(), {0.791667, -1.208333, 0.291667, 0.125}, 1e-6);
}

TEST_CASE("datamodel: outputs linear in independent masks are recovered, and so is what removing examples does") {
  Linear p = linear_problem(60, 8);
  for (DatamodelPenalty penalty : {DatamodelPenalty::ridge, DatamodelPenalty::lasso}) {
    DatamodelRegression r = fitted(p.masks, p.outputs, {.penalty = penalty, .lambda = 0, .sweeps = 2000, .tolerance = 1e-12});
    auto got = to_vector(r.coefficients()), wanted = to_vector(p.beta);
    for (size_t k = 0; k < got.size(); ++k) CHECK(std::abs(got[k] - wanted[k]) < 1e-8);
    check_close(r.intercept(), {1, 2, 3, 4}, 1e-7);
    Tensor all = ones({1, 8}), without = ones({1, 8});
    for (int64_t i : {1, 6}) without.data<float>()[i] = 0;
    auto change = to_vector(r.predict_removal({6, 1})), retrained = to_vector(r.predict(without) - r.predict(all));
    for (size_t k = 0; k < 4; ++k) {
      CHECK(change[k] == doctest::Approx(retrained[k]).epsilon(1e-9));
      CHECK(change[k] == doctest::Approx(-wanted[4 + k] - wanted[24 + k]).epsilon(1e-7));
    }
  }
}

TEST_CASE("datamodel: removing nothing changes nothing") {
  Linear p = linear_problem(60, 8);
  CHECK(to_vector(fitted(p.masks, p.outputs, {}).predict_removal({})) == std::vector<double>(4, 0.0));
}

TEST_CASE("datamodel: λ is in the scale of a sum, shrinks, and an L1 penalty leaves out examples without effect") {
  Linear p = linear_problem(200, 8);
  Tensor some = p.outputs;
  double before = 1e9;
  for (double lambda : {0.0, 10.0, 100.0}) {
    double size = norm(fitted(p.masks, some, {.lambda = lambda}).coefficients()).item();
    CHECK(size < before);
    before = size;
  }
  // Doubling the data doubles the sum, so 2λ gives the same β.
  check_close(fitted(cat({p.masks, p.masks}), cat({some, some}), {.lambda = 60}).coefficients(),
              to_vector(fitted(p.masks, some, {.lambda = 30}).coefficients()), 1e-9);
  Generator g(5);
  Tensor beta = tensor({2.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0}, f64);
  Tensor y = matmul(to(p.masks, f64), beta) + 0.1 * randn({200}, {.dtype = f64, .generator = &g});
  auto sparse = to_vector(fitted(p.masks, y, {.penalty = DatamodelPenalty::lasso, .lambda = 10}).coefficients());
  for (size_t i = 0; i < 8; ++i) CHECK((sparse[i] == 0) == (i != 0 && i != 3));
  CHECK(sparse[0] == doctest::Approx(2 - 5 / 50.0).epsilon(0.05));  // λ/2 over Σ (x − x̄)² ≈ 200/4
}

TEST_CASE("datamodel: λ is chosen by what it predicts on held-out models") {
  Linear p = linear_problem(60, 8);
  LambdaChoice exact = choose_lambda(p.masks, p.outputs, {0, 10, 1000}, 0.2);
  CHECK(exact.lambda == 0);
  CHECK(exact.errors.size() == 3);
  CHECK(exact.errors[2] > exact.errors[1]);
  Generator g(6);
  Tensor noise = randn({60, 3}, {.generator = &g});  // nothing to find: the strongest penalty predicts best
  CHECK(choose_lambda(p.masks, noise, {1, 10000}, 0.2).lambda == 10000);
}

TEST_CASE("subset masks: shares, fixed sizes, and the same from the same place of the generator") {
  Generator g(1), again(1);
  Tensor masks = subset_masks(400, 50, 0.5, g);
  CHECK(to_vector(masks) == to_vector(subset_masks(400, 50, 0.5, again)));
  CHECK(std::abs(mean(to(masks, f64)).item() - 0.5) < 0.02);  // of 20,000: a deviation is 0.0035
  for (double size : to_vector(sum(subset_masks(20, 10, 0.3, g, SubsetSize::fixed), {1}))) CHECK(size == 3);
  for (double size : to_vector(sum(subset_masks(50, 2, 0.5, g), {1}))) CHECK(size == 1);
}

TEST_CASE("influence: of a logistic regression it is the derivative of retraining with a weight on the example") {
  // Two classes, logits (θᵀx, 0): Newton's method finds the minimum of mean_i w_i CE + ½ damping ‖θ‖² to the last bit.
  Generator g(8);
  constexpr int64_t n = 12, d = 2;
  Tensor x = randn({n, d}, {.dtype = f64, .generator = &g}), y = randint(0, 2, {n}, {.dtype = i64, .generator = &g});
  auto v = to_vector(x);
  auto label = to_vector<int64_t>(y);
  const double damping = 0.1;
  auto fit = [&](size_t weighted, double weight) {
    double t[2] = {0, 0};
    for (int step = 0; step < 50; ++step) {
      double gradient[2] = {damping * t[0], damping * t[1]}, h[3] = {damping, 0, damping};
      for (size_t i = 0; i < n; ++i) {
        double a = v[2 * i], b = v[2 * i + 1], p = 1 / (1 + std::exp(-(t[0] * a + t[1] * b))), w = (i == weighted ? weight : 1) / n;
        double e = w * (p - (label[i] == 0 ? 1 : 0)), c = w * p * (1 - p);
        gradient[0] += e * a, gradient[1] += e * b;
        h[0] += c * a * a, h[1] += c * a * b, h[2] += c * b * b;
      }
      double det = h[0] * h[2] - h[1] * h[1];
      t[0] -= (h[2] * gradient[0] - h[1] * gradient[1]) / det;
      t[1] -= (h[0] * gradient[1] - h[1] * gradient[0]) / det;
    }
    return std::pair{t[0], t[1]};
  };
  auto [t0, t1] = fit(0, 1);
  Tensor jacobian = stack({x, zeros({n, d}, f64)}, 1), query = reshape(tensor({0.7, -1.2, 0.0, 0.0}, f64), {1, 2, d});
  Tensor logits = stack({matmul(x, tensor({t0, t1}, f64)), zeros({n}, f64)}, 1);
  auto effects = to_vector(influence_effects(jacobian, logits, y, query, damping));
  for (size_t i : {size_t{0}, size_t{5}, size_t{11}}) {
    double eps = 1e-4;
    auto [a0, a1] = fit(i, 1 + eps);
    auto [b0, b1] = fit(i, 1 - eps);
    double wanted = ((a0 - b0) * 0.7 - (a1 - b1) * 1.2) / (2 * eps);
    CHECK(effects[2 * i] == doctest::Approx(wanted).epsilon(1e-5));
    CHECK(effects[2 * i + 1] == 0);
  }
}

TEST_CASE("datamodel: mistakes are named") {
  Generator g(1);
  DatamodelRegression r({.lambda = 0});
  CHECK_THROWS_WITH_AS(r.predict_removal({0}), "datamodel: nothing was fitted yet", ValueError);
  CHECK_THROWS_WITH_AS(r.fit(ones({1, 4}), ones({1})), "datamodel: takes at least 2 subset models, got 1", ValueError);
  CHECK_THROWS_WITH_AS(r.fit(ones({3, 4}), ones({2})), "datamodel: masks [3, 4] and outputs [2] must be [m, n] and [m, ..]", ShapeError);
  CHECK_THROWS_WITH_AS(r.fit(slice(pairs_of_four(), 0, 0, 4), ones({4})),
                       "datamodel: λ = 0 with 4 subset models of 4 examples, whose masks are linearly dependent", ValueError);
  // Fixed sizes sum to a constant: six models of four examples are as singular.
  CHECK_THROWS_WITH_AS(r.fit(pairs_of_four(), worked_outputs()),
                       "datamodel: λ = 0 with 6 subset models of 4 examples, whose masks are linearly dependent", ValueError);
  DatamodelRegression good = fitted(pairs_of_four(), worked_outputs(), {.lambda = 1});
  CHECK_THROWS_WITH_AS(good.predict_removal({4}), "datamodel: example 4 is outside [0, 4)", IndexError);
  CHECK_THROWS_WITH_AS(good.predict_removal({1, 1}), "datamodel: example 1 is to be removed twice", ValueError);
  CHECK_THROWS_WITH_AS(good.predict(ones({1, 3})), "datamodel: masks [1, 3] for 4 examples", ShapeError);
  CHECK_THROWS_WITH_AS(choose_lambda(pairs_of_four(), worked_outputs(), {}, 0.5), "datamodel: there is no λ to choose from", ValueError);
  CHECK_THROWS_WITH_AS(choose_lambda(pairs_of_four(), worked_outputs(), {1}, 0.1), "datamodel: a held-out share of 0.1 of 6 subset models",
                       ValueError);
  CHECK_THROWS_WITH_AS(DatamodelRegression({.lambda = -1}), "datamodel: λ -1, 100 sweeps, tolerance 1e-06", ValueError);
  CHECK_THROWS_WITH_AS(subset_masks(3, 1, 0.5, g), "subset_masks: 3 subsets of 1 examples", ValueError);
  CHECK_THROWS_WITH_AS(subset_masks(3, 4, 1, g), "subset_masks: alpha must lie in (0, 1), it is 1", ValueError);
  CHECK_THROWS_WITH_AS(subset_masks(3, 4, 0.1, g, SubsetSize::fixed), "subset_masks: alpha 0.1 of 4 examples is 0 of them", ValueError);
  CHECK_THROWS_AS(influence_effects(zeros({2, 2, 3}), zeros({2, 3}), tensor({0, 1}), zeros({1, 2, 3}), 1), ShapeError);
  CHECK_THROWS_WITH_AS(influence_effects(zeros({2, 2, 3}), zeros({2, 2}), tensor({0, 1}), zeros({1, 2, 3}), 0),
                       "influence_effects: damping must be positive, it is 0", ValueError);
}
