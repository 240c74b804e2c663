// Images as a generation problem, on rendered shapes.
#include <doctest/doctest.h>

#include <cmath>

#include "methods/common/generation_training.h"
#include "methods/common/image_generation.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::methods;

namespace {
const unet::UnetConfig kSmall{
    .width = 4, .multipliers = {1, 2}, .blocks = 1, .attention_levels = {}, .middle_attention = false, .groups = 2};
}

TEST_CASE("image problem: rendered shapes lie in their range, are nearest to themselves, and noise is far") {
  manual_seed(1);
  ImageProblem shapes({.network = kSmall, .real = false, .most = 120, .oracle_steps = 8});
  CHECK(shapes.source == "rendered shapes");
  CHECK(shapes.rows.shape() == Shape{120, 3, 32, 32});
  CHECK(max(abs(shapes.rows)).item() <= 1);
  CHECK(shapes.batch(5).shape() == shapes.shape(5));
  double itself = shapes.frechet_distance(shapes.rows), half = shapes.frechet_distance(narrow(shapes.rows, 0, 0, 60)),
         noise = shapes.frechet_distance(randn(shapes.shape(60)));
  CHECK(itself < 1e-3 * noise);
  CHECK(half < noise);
  CHECK(std::isinf(shapes.frechet_distance(full(shapes.shape(3), NAN))));
  CHECK(shapes.probabilities(narrow(shapes.rows, 0, 0, 3)).shape() == Shape{3, 4});
}

TEST_CASE("image problem: a denoiser of it learns") {
  manual_seed(2);
  ImageProblem shapes({.network = kSmall, .real = false, .most = 64, .oracle_steps = 2});
  auto trained = train_denoiser_of(shapes, {.steps = 40, .batch = 8, .lr = 3e-3, .ema = 0.8}, [](double) {});
  auto fresh = shapes.network();
  Tensor clean = narrow(shapes.rows, 0, 0, 16), z = randn(clean.shape()), sigma = full({16}, 0.5);
  double after = mean(diffusion::denoising_losses(as_denoiser(trained), clean, z, sigma)).item(),
         before = mean(diffusion::denoising_losses(as_denoiser(fresh), clean, z, sigma)).item();
  CHECK(after < before);
}
