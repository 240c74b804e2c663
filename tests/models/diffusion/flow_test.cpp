// Flow matching: points and steps on straight lines, sampling of a normal distribution, and the loss.
#include <doctest/doctest.h>

#include <cmath>

#include "models/diffusion/flow.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::diffusion;

TEST_CASE("flow: points lie on the line, steps along its velocity stay on it, and the loss of the true velocity is 0") {
  Tensor clean = test::sample({3, 2}, 1), noise = test::sample({3, 2}, 2), from = tensor({0.9, 0.5, 0.2}, f64),
         to = tensor({0.4, 0.1, 0.0}, f64);
  CHECK(test::difference(flow_step(flow_point(clean, noise, from), noise - clean, from, to), flow_point(clean, noise, to)) < 1e-12);
  Velocity known = [&](const Tensor&, const Tensor&) { return noise - clean; };
  CHECK(max(flow_losses(known, clean, noise, from)).item() < 1e-24);
  Velocity off = [&](const Tensor&, const Tensor&) { return noise - clean + 0.5; };
  for (double loss : to_vector(flow_losses(off, clean, noise, from))) CHECK(loss == doctest::Approx(0.25).epsilon(1e-12));
}

TEST_CASE("flow: Euler steps carry normal noise to a normal distribution, with the error of the first order") {
  // data N(0, s²): v = (σ − (1−σ) s²)/((1−σ)² s² + σ²) x, and x at 0 is s times x at 1
  constexpr double s = 0.3;
  Velocity exact = [](const Tensor& x, const Tensor& sigma) {
    double t = to_vector(sigma)[0], r = 1 - t;
    return x * ((t - r * s * s) / (r * r * s * s + t * t));
  };
  Tensor x = tensor({1.0, -2.0}, f64);
  double before = 1;
  for (int64_t steps : {50, 100, 200}) {
    double error = std::abs(to_vector(flow_sample(exact, x, flow_levels(steps)))[0] - s);
    CHECK(error < 0.65 * before);
    before = error;
  }
  CHECK(before < 0.02);
  CHECK_THROWS_WITH_AS(flow_sample(exact, x, {1}), "flow_sample: needs at least two levels, got 1", ValueError);
  CHECK_THROWS_AS(FlowSchedule(0), ValueError);
  CHECK_THROWS_AS(FlowSchedule(5, 2000), ValueError);
}
