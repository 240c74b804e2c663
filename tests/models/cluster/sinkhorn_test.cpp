// Entropic transport: closed forms, marginals, the limits of ε, derivatives.
#include "models/cluster/sinkhorn.h"

#include <doctest/doctest.h>

#include <cmath>

#include "models/cluster/assignment.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::cluster;

TEST_CASE("sinkhorn: two by two in closed form") {
  // cost [[0, c], [c, 0]], equal shares: P = ½ [[s, 1 − s], [1 − s, s]], s = 1 / (1 + e^(−c / ε))
  double c = 0.3, epsilon = 0.2, s = 1 / (1 + std::exp(-c / epsilon));
  Tensor plan = sinkhorn(tensor({{0.0, 0.3}, {0.3, 0.0}}, f64), {}, {}, {.epsilon = epsilon});
  CHECK(test::difference(plan, tensor({{s / 2, (1 - s) / 2}, {(1 - s) / 2, s / 2}}, f64)) < 1e-12);
}

TEST_CASE("sinkhorn: marginals, and the form exp(f + g − C)") {
  Tensor cost = test::sample({4, 6}, 1, f64, 0, 1), a = tensor({0.1, 0.2, 0.3, 0.4}, f64),
         b = tensor({0.25, 0.05, 0.1, 0.2, 0.3, 0.1}, f64);
  Tensor plan = sinkhorn(cost, a, b, {.epsilon = 0.1, .iterations = 500});
  CHECK(test::difference(sum(plan, {1}), a) < 1e-10);
  CHECK(test::difference(sum(plan, {0}), b) < 1e-12);
  Tensor form = log(plan) + cost / 0.1;  // of rank one in the sense of sums: mixed differences vanish
  double mixed = 0;
  for (int64_t i = 0; i < 3; ++i)
    for (int64_t j = 0; j < 5; ++j) {
      auto at = [&](int64_t r, int64_t k) { return form.data<double>()[r * 6 + k]; };
      mixed = std::max(mixed, std::abs(at(i, j) + at(i + 1, j + 1) - at(i, j + 1) - at(i + 1, j)));
    }
  CHECK(mixed < 1e-10);
}

TEST_CASE("sinkhorn: a small ε is an assignment, a large one spreads evenly; no underflow") {
  Tensor cost = test::sample({5, 5}, 2, f64, 0, 1), plan = sinkhorn(cost, {}, {}, {.epsilon = 1e-3, .iterations = 3000});
  for (auto [r, c] : linear_assignment(cost)) CHECK(plan.data<double>()[r * 5 + c] == doctest::Approx(0.2).epsilon(1e-3));
  CHECK(test::difference(sinkhorn(cost, {}, {}, {.epsilon = 1e6}), full({5, 5}, 0.04, f64)) < 1e-6);
  CHECK(std::isfinite(sum(sinkhorn(to(cost, f32) * 1000, {}, {}, {.epsilon = 0.01})).item()));
}

TEST_CASE("sinkhorn: stops early when asked to, as exactly as asked for") {
  Tensor cost = test::sample({6, 6}, 3, f64, 0, 1),
         rough = sinkhorn(cost, {}, {}, {.epsilon = 0.05, .iterations = 1000, .tolerance = 1e-2});
  double off = max(abs(sum(rough, {1}) * 6 - 1)).item();
  CHECK(off <= 1e-2);
  CHECK(off > 1e-9);
}

TEST_CASE("sinkhorn: differentiable through its iterations") {
  Tensor cost = test::sample({3, 4}, 4, f64, 0, 1);
  CHECK(test::derivative_error([](const Tensor& c) { return sinkhorn(c, {}, {}, {.epsilon = 0.5, .iterations = 5}); }, cost) < 1e-6);
}

TEST_CASE("sinkhorn: bad input is named") {
  CHECK_THROWS_WITH_AS(sinkhorn(zeros({3})), "sinkhorn: takes a matrix of costs, got [3]", ShapeError);
  CHECK_THROWS_WITH_AS(sinkhorn(zeros({2, 3}), zeros({3})), "sinkhorn: a must have 2 elements, it is [3]", ShapeError);
  CHECK_THROWS_WITH_AS(sinkhorn(zeros({2, 2}), tensor({1.0, 0.0})), "sinkhorn: a must be positive, it holds 0", ValueError);
  CHECK_THROWS_WITH_AS(sinkhorn(zeros({2, 2}), tensor({1.0, 1.0})),
                       "sinkhorn: a and b must have equal sums, they have 2 and 1", ValueError);
  CHECK_THROWS_WITH_AS(sinkhorn(zeros({2, 2}), {}, {}, {.epsilon = 0}),
                       "sinkhorn: epsilon must be positive and iterations at least 1, they are 0 and 200", ValueError);
}
