// Exact mixtures: their denoiser against integrals over draws and against its own density, their classes against where points came from.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/backward.h"
#include "engine/data/points.h"
#include "models/diffusion/mixture.h"
#include "models/diffusion/sampler.h"
#include "models/metrics/energy_distance.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::diffusion;

namespace {

data::GaussianMixture tilted() {
  return {.means = tensor({{-1.0, 0.5}, {1.0, 0.0}, {0.0, -2.0}}, f64),
          .covariances = tensor({{{0.5, 0.3}, {0.3, 0.4}}, {{0.1, 0.0}, {0.0, 0.7}}, {{0.2, -0.1}, {-0.1, 0.3}}}, f64),
          .weights = {1, 2, 3}};
}

// log Σ_k w_k N(x; μ_k, Σ_k + σ² I), from 2 × 2 inverses written out.
double log_density(const data::GaussianMixture& m, double x, double y, double sigma) {
  auto mu = to_vector(m.means), c = to_vector(m.covariances);
  double total = 0;
  for (size_t k = 0; k < 3; ++k) {
    double a = c[4 * k] + sigma * sigma, b = c[4 * k + 1], d = c[4 * k + 3] + sigma * sigma, det = a * d - b * b;
    double u = x - mu[2 * k], v = y - mu[2 * k + 1];
    total += m.weights[k] / 6 * std::exp(-0.5 * (d * u * u - 2 * b * u * v + a * v * v) / det) / (2 * M_PI * std::sqrt(det));
  }
  return std::log(total);
}

}  // namespace

TEST_CASE("mixture: the density at every level is that of covariances with sigma² added") {
  ExactMixture exact(tilted());
  Tensor x = tensor({{0.3, -0.2}, {-2.0, 1.0}, {4.0, 4.0}}, f64), sigma = tensor({0.0, 0.7, 10.0}, f64);
  auto got = to_vector(exact.log_density(x, sigma));
  CHECK(got[0] == doctest::Approx(log_density(tilted(), 0.3, -0.2, 0)).epsilon(1e-12));
  CHECK(got[1] == doctest::Approx(log_density(tilted(), -2, 1, 0.7)).epsilon(1e-12));
  CHECK(got[2] == doctest::Approx(log_density(tilted(), 4, 4, 10)).epsilon(1e-12));
}

TEST_CASE("mixture: the denoiser is x + sigma² times the slope of the log density (Tweedie), and is differentiable") {
  ExactMixture exact(tilted());
  Tensor x = test::sample({6, 2}, 1).requires_grad_(), sigma = test::sample({6}, 2, f64, 0.05, 3);
  Tensor score = grad({sum(exact.log_density(x, sigma))}, {x})[0];
  CHECK(test::difference(exact(x, sigma), x.detach() + per_example(square(sigma), x) * score) < 1e-11);
  CHECK(gradcheck([&](const std::vector<Tensor>& in) { return std::vector<Tensor>{exact(in[0], in[1])}; }, {x.detach(), sigma}));
}

TEST_CASE("mixture: one round component is the normal distribution's closed form") {
  ExactMixture exact({.means = tensor({{0.7}}, f64), .scale = 0.5});
  double d = exact(full({1, 1}, 3.0, f64), full({1}, 2.0, f64)).item();
  CHECK(d == doctest::Approx((0.25 * 3 + 4 * 0.7) / 4.25).epsilon(1e-12));
  CHECK(exact.components() == 1);
}

TEST_CASE("mixture: as an oracle it names the component of well separated points, and far noise tells nothing") {
  data::GaussianMixture ring{.means = data::ring_means(8, 2), .scale = 0.1};
  ExactMixture exact(ring);
  data::Dataset points = data::gaussian_mixture(200, ring, 3);
  for (const auto& batch : points.batch(200)) {
    Tensor p = exact.responsibilities(batch.features, zeros({200}));
    CHECK(to_vector(argmax(p, 1)) == to_vector(batch.label));
    CHECK(test::difference(sum(p, {1}), ones({200})) < 1e-5);
  }
  Tensor far = exact.responsibilities(zeros({1, 2}, f64), full({1}, 1e4, f64));
  for (double v : to_vector(far)) CHECK(v == doctest::Approx(0.125).epsilon(1e-6));
  CHECK_THROWS_WITH_AS(exact(zeros({4, 3}), zeros({4})), "mixture: takes points [B, 2], got [4, 3]", ShapeError);
  CHECK_THROWS_AS(ExactMixture({.means = zeros({2, 2}, f64), .weights = {1}}), ShapeError);
}

TEST_CASE("mixture: sampling with the exact denoiser gives the mixture, by the energy distance") {
  data::GaussianMixture ring{.means = data::ring_means(8, 2), .scale = 0.15};
  Generator g(7);
  Tensor x = randn({600, 2}, {.dtype = f64, .generator = &g}) * 40.0;
  Tensor y = sample(ExactMixture(ring), x, karras_sigmas_to_zero(40, 0.002, 40), {.sampler = Sampler::heun});
  auto drawn = [&](uint64_t seed) {
    for (const auto& batch : data::gaussian_mixture(600, ring, seed).batch(600)) return batch.features;
    return Tensor();
  };
  // two clouds of the same law are about 2 E‖x − x'‖/n = 0.008 apart
  double same = metrics::energy_distance(drawn(1), drawn(2));
  CHECK(same < 0.03);
  CHECK(metrics::energy_distance(y, drawn(1)) < 0.03);
  CHECK(metrics::energy_distance(y * 0.6, drawn(1)) > 0.03);
}
