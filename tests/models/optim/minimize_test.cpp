// L-BFGS as a function: minima that are known.
#include "models/optim/minimize.h"

#include <doctest/doctest.h>

#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::optim;

TEST_CASE("lbfgs_minimize: Rosenbrock's valley to its end, from f32 numbers that stay as they were") {
  auto valley = [](const std::vector<Tensor>& p) {
    Tensor x = select(p[0], 0, 0), y = select(p[0], 0, 1);
    return square(1 - x) + square(y - square(x)) * 100;
  };
  Tensor start = tensor({-1.2, 1.0});
  Minimum found = lbfgs_minimize(valley, {start}, {.gradient_tolerance = 1e-9});
  CHECK(found.converged);
  CHECK(found.gradient <= 1e-9);
  CHECK(found.value < 1e-17);
  CHECK(found.x[0].dtype() == f64);
  for (double v : to_vector(found.x[0])) CHECK(v == doctest::Approx(1).epsilon(1e-8));
  CHECK(to_vector<float>(start) == std::vector<float>{-1.2f, 1.0f});
  CHECK_FALSE(found.x[0].requires_grad());
}

TEST_CASE("lbfgs_minimize: several tensors, also where nothing is recorded; few iterations are said not to be enough") {
  auto f = [](const std::vector<Tensor>& p) { return sum(square(p[0] - 3)) + sum(square(square(p[1]) - 2)); };
  NoGrad off;
  std::vector<Tensor> start{zeros({2, 2}), full({3}, 1.0)};
  Minimum found = lbfgs_minimize(f, start, {.gradient_tolerance = 1e-9});
  CHECK(found.converged);
  for (double v : to_vector(found.x[0])) CHECK(v == doctest::Approx(3).epsilon(1e-9));
  for (double v : to_vector(found.x[1])) CHECK(v == doctest::Approx(1.4142135623730951).epsilon(1e-9));
  CHECK_FALSE(lbfgs_minimize(f, start, {.iterations = 1, .gradient_tolerance = 1e-9}).converged);
}

TEST_CASE("lbfgs_minimize: what does not fit is refused") {
  auto f = [](const std::vector<Tensor>& p) { return sum(log(p[0])); };
  CHECK_THROWS_WITH_AS(lbfgs_minimize(f, {}), "lbfgs_minimize: there is nothing to vary", ValueError);
  CHECK_THROWS_WITH_AS(lbfgs_minimize(f, {ones({1})}, {.iterations = 0}), "lbfgs_minimize: needs at least 1 iteration, got 0", ValueError);
  CHECK_THROWS_WITH_AS(lbfgs_minimize(f, {ones({1})}, {.gradient_tolerance = -1}), "lbfgs_minimize: tolerances must not be negative",
                       ValueError);
  CHECK_THROWS_WITH_AS(lbfgs_minimize(f, {zeros({1})}), "lbfgs: the loss is not finite", ValueError);
}

TEST_CASE("lbfgs_minimize: a gradient that is NaN is not the end of the way") {
  auto f = [](const std::vector<Tensor>& x) { return sum(square(x[0] - 3) + sqrt(square(x[0] - 1)) * 0); };
  CHECK_THROWS_WITH_AS(lbfgs_minimize(f, {ones({1}, f64)}), "lbfgs: the gradient is not finite", ValueError);
}
