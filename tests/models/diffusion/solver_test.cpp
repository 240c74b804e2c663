// Steps of the ODE for examples at levels of their own, against exact trajectories of normal data.
#include <doctest/doctest.h>

#include <cmath>

#include "models/diffusion/sampler.h"
#include "models/diffusion/solver.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::diffusion;

namespace {

// data N(0, 0.25): D(x, σ) = x/4 / (σ² + 1/4), and trajectories x_s = x_t √((s² + 1/4)/(t² + 1/4))
Tensor exact(const Tensor& x, const Tensor& sigma) { return x * 0.25 / (per_example(square(sigma), x) + 0.25); }
double solution(double x, double t, double s) { return x * std::sqrt((s * s + 0.25) / (t * t + 0.25)); }
Tensor levels(std::initializer_list<double> values) { return from_vector(std::vector<double>(values)); }

}  // namespace

TEST_CASE("ode_step: worked steps of Euler and Heun, every example at its own levels") {
  Tensor x = tensor({{3.0}, {3.0}, {-1.0}}, f64), from = levels({5, 5, 2}), to = levels({1, 4, 0.5});
  auto euler = to_vector(ode_step(Solver::euler, exact, x, from, to)), heun = to_vector(ode_step(Solver::heun, exact, x, from, to));
  CHECK(euler[0] == doctest::Approx(0.623762).epsilon(1e-5));
  CHECK(heun[0] == doctest::Approx(0.813861).epsilon(1e-5));
  for (int64_t b = 0; b < 3; ++b) {  // each as if it were alone
    auto at = static_cast<size_t>(b);
    std::vector<double> pair{to_vector(from)[at], to_vector(to)[at]};
    CHECK(heun[at] == doctest::Approx(sample(exact, narrow(x, 0, b, 1), pair, {.sampler = Sampler::heun}).item()).epsilon(1e-12));
    CHECK(euler[at] == doctest::Approx(sample(exact, narrow(x, 0, b, 1), pair, {.sampler = Sampler::euler}).item()).epsilon(1e-12));
  }
  CHECK_THROWS_WITH_AS(ode_step(Solver::heun, exact, x, from, levels({1, 0, 1})),
                       "ode_step: noise levels must be positive, one is 0", ValueError);
  CHECK_THROWS_AS(ode_step(Solver::heun, exact, x, levels({5, 5}), to), ShapeError);
}

TEST_CASE("solve_along: Heun converges to the exact solution with order 2 as the grid is refined, from any place, both ways") {
  auto error = [](int64_t n) {
    Tensor y = solve_along(Solver::heun, exact, full({1, 1}, 3.0, f64), karras_sigmas(n + 1, 1, 5), {0}, n);
    return std::abs(y.item() - 0.667491);
  };
  CHECK(std::abs(solution(3, 5, 1) - 0.667491) < 1e-6);
  auto exact_error = [](int64_t n) {
    Tensor y = solve_along(Solver::heun, exact, full({1, 1}, 3.0, f64), karras_sigmas(n + 1, 1, 5), {0}, n);
    return std::abs(y.item() - solution(3, 5, 1));
  };
  CHECK(std::log2(exact_error(32) / exact_error(64)) == doctest::Approx(2).epsilon(0.1));
  CHECK(error(400) < 1e-5);
  auto grid = karras_sigmas(41, 0.5, 8);
  auto y = to_vector(solve_along(Solver::heun, exact, tensor({{2.0}, {1.0}}, f64), grid, {0, 20}, 20));
  CHECK(y[0] == doctest::Approx(solution(2, grid[0], grid[20])).epsilon(1e-3));
  CHECK(y[1] == doctest::Approx(solution(1, grid[20], grid[40])).epsilon(1e-3));
  auto up = karras_sigmas(41, 0.5, 8, 7, GridOrder::ascending);
  CHECK(solve_along(Solver::heun, exact, full({1, 1}, 0.4, f64), up, {0}, 40).item() ==
        doctest::Approx(solution(0.4, 0.5, 8)).epsilon(3e-3));
}

TEST_CASE("solve_along: no step is the identity, nothing is recorded, and places outside the grid are named") {
  Tensor x = test::sample({2, 3}, 1).requires_grad_();
  auto grid = karras_sigmas(5);
  CHECK(test::same_bits(solve_along(Solver::heun, exact, x, grid, {0, 4}, 0), x));
  CHECK_FALSE(solve_along(Solver::heun, exact, x, grid, {0, 2}, 2).requires_grad());
  CHECK_THROWS_WITH_AS(solve_along(Solver::heun, exact, x, grid, {0, 3}, 2), "levels_at: place 5 is outside a grid of 5 noise levels",
                       IndexError);
  CHECK_THROWS_WITH_AS(solve_along(Solver::heun, exact, x, grid, {0, 3}, -1),
                       "solve_along: the number of steps must not be negative, it is -1", ValueError);
}
