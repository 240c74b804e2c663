// Shapley values: closed forms, the axioms, and sampling against enumeration.
#include "methods/common/shapley.h"

#include <doctest/doctest.h>

#include <cmath>

#include "ops/elementary.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

Tensor column(const Tensor& rows, int64_t j) { return select(rows, 1, j); }

}  // namespace

TEST_CASE("shapley: of a linear function they are its terms") {
  Tensor w = test::sample({6}, 1), x = test::sample({6}, 2), background = test::sample({9, 6}, 3);
  std::vector<double> phi = exact_shapley([&](const Tensor& r) { return matmul(r, w) + 3; }, x, background);
  Tensor expected = w * (x - mean(background, {0}));
  CHECK(test::difference(from_vector(phi), expected) < 1e-13);
}

TEST_CASE("shapley: of a product of two inputs each has half, an input without effect none") {
  // f = x₀ x₁ over background 0: v({0, 1}) = x₀ x₁, all other coalitions of the two 0.
  std::vector<double> phi =
      exact_shapley([](const Tensor& r) { return column(r, 0) * column(r, 1); }, tensor({3.0, 4.0, 7.0}, f64), zeros({3}, f64));
  CHECK(test::difference(from_vector(phi), tensor({6.0, 6.0, 0.0}, f64)) < 1e-14);
  // x₀ x₁ x₂: a third each.
  phi = exact_shapley([](const Tensor& r) { return column(r, 0) * column(r, 1) * column(r, 2); }, tensor({3.0, 4.0, 7.0}, f64),
                      zeros({3}, f64));
  CHECK(test::difference(from_vector(phi), tensor({28.0, 28.0, 28.0}, f64)) < 1e-13);
}

TEST_CASE("shapley: values add up to the change of the function, and sampling agrees with enumeration") {
  Tensor x = test::sample({7}, 4), background = test::sample({5, 7}, 5);
  auto f = [](const Tensor& r) { return sin(column(r, 0) * column(r, 1)) + square(column(r, 2) - column(r, 3)) + tanh(sum(r, {1})); };
  std::vector<double> exact = exact_shapley(f, x, background);
  double total = 0, change = f(unsqueeze(x, 0)).item() - mean(f(background)).item();
  for (double v : exact) total += v;
  CHECK(total == doctest::Approx(change).epsilon(1e-12));
  Generator g(1);
  std::vector<double> sampled = sampled_shapley(f, x, background, 4000, g);
  for (size_t j = 0; j < 7; ++j) {
    CAPTURE(j);
    CHECK(std::abs(sampled[j] - exact[j]) < 0.15);  // a change has a deviation of about 2: five times 2 / √4000
  }
  Generator again(1);
  CHECK(sampled_shapley(f, x, background, 4000, again) == sampled);
}

TEST_CASE("shapley: fifteen inputs in many calls, in the type of x") {
  int64_t most = 0, rows = 0;
  Tensor x = test::sample({15}, 6, f32), background = test::sample({2, 15}, 7, f32);
  auto f = [&](const Tensor& r) {
    CHECK(r.dtype() == f32);
    most = std::max(most, r.size(0));
    rows += r.size(0);
    return sum(r, {1});
  };
  std::vector<double> phi = exact_shapley(f, x, background);
  CHECK(rows == 2 << 15);
  CHECK(most <= 1 << 14);
  CHECK(test::difference(from_vector(phi), to(x - mean(background, {0}), f64)) < 1e-4);
}

TEST_CASE("shapley: what cannot be is named") {
  auto f = [](const Tensor& r) { return sum(r, {1}); };
  Generator g(0);
  CHECK_THROWS_WITH_AS(exact_shapley(f, zeros({16}), zeros({16})),
                       "exact_shapley: 16 inputs have too many coalitions; at most 15 (see sampled_shapley)", ValueError);
  CHECK_THROWS_WITH_AS(exact_shapley(f, zeros({3}), zeros({2})),
                       "exact_shapley: takes x [d] and a background [m, d] or [d], not [3] and [2]", ShapeError);
  CHECK_THROWS_WITH_AS(exact_shapley(f, zeros({3}), zeros({0, 3})),
                       "exact_shapley: takes x [d] and a background [m, d] or [d], not [3] and [0, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(exact_shapley([](const Tensor& r) { return r; }, zeros({3}), zeros({3})),
                       "exact_shapley: the function gave [8, 3] for 8 rows, not [8]", ShapeError);
  CHECK_THROWS_WITH_AS(exact_shapley(f, zeros({3}, i64), zeros({3})), "exact_shapley: x is i64, not floating", DTypeError);
  CHECK_THROWS_WITH_AS(sampled_shapley(f, zeros({3}), zeros({3}), 0, g), "sampled_shapley: permutations must be at least 1, it is 0",
                       ValueError);
}
