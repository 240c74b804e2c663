// The small diffusion model of vectors: its denoiser, its loss, and that it learns a distribution of two classes.
#include "models/diffusion/vector_ddpm.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "models/optim/adam.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::diffusion;

TEST_CASE("VectorDdpm: the denoiser takes the predicted noise away, and copies are independent") {
  manual_seed(1);
  VectorDdpm model({.features = 3, .classes = 2, .hidden = {8}}, VpSchedule::linear(20, 0.01, 0.2));
  Tensor x = randn({4, 3}), label = tensor({0, 1, 0, 1});
  double sigma = model.schedule().sigma(7), alpha_bar = model.schedule().alpha_bar(7);
  Tensor scaled = x * std::sqrt(alpha_bar);
  Tensor by_hand = x - model(scaled, full({4}, 7.0), label) * sigma;
  CHECK(test::difference(model.denoiser(label)(x, full({4}, sigma)), by_hand) < 1e-4);
  VectorDdpm copy = model;
  Tensor before = copy(x, zeros({4}), label);
  {
    NoGrad off;
    for (Tensor p : model.parameters()) zero_(p);
  }
  CHECK(test::same_bits(copy(x, zeros({4}), label), before));
  double share = std::sqrt(1 - model.schedule().alpha_bar(0));
  CHECK(test::difference(model(x, zeros({4}), label), x * share) < 1e-6);
  // of data that are all 0 such a network expects √(1−ᾱ) x_t = (1−ᾱ) z: it errs by ᾱ z
  double expected = 0;
  for (int64_t t = 0; t < 20; ++t) expected += std::pow(model.schedule().alpha_bar(t), 2) / 20;
  CHECK(mean(model.losses(zeros({4000, 3}), zeros({4000}, i64))).item() == doctest::Approx(expected).epsilon(0.08));
}

TEST_CASE("VectorDdpm: learns one mean a class and samples about it") {
  manual_seed(2);
  VectorDdpm model({.features = 2, .classes = 2, .hidden = {32, 32}}, VpSchedule::linear(50, 1e-3, 0.15));
  optim::Adam adam(model.parameters(), {.lr = 3e-3});
  for (int k = 0; k < 400; ++k) {
    Tensor label = randint(0, 2, {128});
    Tensor clean = unsqueeze(to(label, f32), 1) * tensor({{2.0, -2.0}}) - tensor({{1.0, -1.0}}) + randn({128, 2}) * 0.1;
    adam.zero_grad();
    mean(model.losses(clean, label)).backward();
    adam.step();
  }
  Tensor zero = model.sample(zeros({200}, i64), 20), one = model.sample(ones({200}, i64), 20);
  CHECK(mean(select(zero, 1, 0)).item() == doctest::Approx(-1).epsilon(0.2));
  CHECK(mean(select(one, 1, 0)).item() == doctest::Approx(1).epsilon(0.2));
  CHECK(mean(select(one, 1, 1)).item() == doctest::Approx(-1).epsilon(0.2));
  CHECK(std_dev(select(one, 1, 0)).item() < 0.4);
  CHECK_FALSE(one.requires_grad());
}
