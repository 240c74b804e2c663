// Likelihoods along the ODE against densities that are known: of a normal distribution and of a mixture.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/data/points.h"
#include "models/diffusion/likelihood.h"
#include "models/diffusion/mixture.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::diffusion;

TEST_CASE("log_likelihood: of a normal distribution, exact as the grid is refined, with the order of the steps") {
  ExactMixture normal({.means = zeros({1, 3}, f64), .scale = 0.5});
  Tensor x = test::sample({4, 3}, 1), wanted = normal.log_density(x, full({4}, 0.01, f64));
  auto error = [&](int64_t levels) {
    Tensor got = log_likelihood(normal, x, karras_sigmas(levels, 0.01, 50, 7, GridOrder::ascending), {.probes = 0, .data_variance = 0.25});
    return max(abs(got - wanted)).item();
  };
  CHECK(error(400) < 1e-2);
  CHECK(std::log2(error(100) / error(200)) == doctest::Approx(2).epsilon(0.15));
}

TEST_CASE("log_likelihood: of a mixture, with the exact trace, and with random signs on the average") {
  ExactMixture mixture({.means = tensor({{-1.0, -0.2}, {1.0, 0.2}}, f64), .scale = 0.3});
  Tensor x = tensor({{-1.0, 0.2}, {0.9, 0.4}, {0.1, 0.1}}, f64), wanted = mixture.log_density(x, full({3}, 0.02, f64));
  auto grid = karras_sigmas(300, 0.02, 60, 7, GridOrder::ascending);
  CHECK(max(abs(log_likelihood(mixture, x, grid, {.probes = 0, .data_variance = 0.5}) - wanted)).item() < 0.02);
  Generator g(1);
  double mean_error = 0;
  for (int k = 0; k < 20; ++k)
    mean_error += mean(log_likelihood(mixture, x, grid, {.probes = 1, .data_variance = 0.5, .generator = &g}) - wanted).item() / 20;
  CHECK(std::abs(mean_error) < 0.1);
}

TEST_CASE("log_likelihood: nothing is recorded, and bad grids are named") {
  Denoiser nothing = [](const Tensor& x, const Tensor&) { return zeros(x.shape(), x.dtype()); };
  Tensor x = ones({2, 2}, f64).requires_grad_();
  Tensor value = log_likelihood(nothing, x, {1, 2}, {.probes = 0});
  CHECK_FALSE(value.requires_grad());
  // D = 0 is a point mass at 0 with noise: x doubles from level 1 to 2, the trace is d ∫ dσ/σ by one trapezoid
  CHECK(to_vector(value)[0] == doctest::Approx(-0.5 * 8 / 4 - std::log(2 * M_PI * 4) + 2 * (1 + 0.5) / 2).epsilon(1e-12));
  CHECK_THROWS_WITH_AS(log_likelihood(nothing, x, {2, 1}),
                       "log_likelihood: levels must ascend from above 0, 2 is followed by 1", ValueError);
  CHECK_THROWS_WITH_AS(log_likelihood(nothing, x, {1}), "log_likelihood: needs at least 2 levels, got 1", ValueError);
  CHECK_THROWS_WITH_AS(log_likelihood(nothing, x, {1, 2}, {.probes = -1}), "log_likelihood: probes must not be negative, it is -1",
                       ValueError);
}
