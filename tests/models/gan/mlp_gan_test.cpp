// The pair of perceptrons: shapes and ranges, that it learns a small cloud of points, and losses added to the generator's.
#include "models/gan/mlp_gan.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "models/gan/training.h"
#include "models/optim/adam.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::gan;

TEST_CASE("mlp_gan: examples of the width and range asked for, one logit each") {
  manual_seed(1);
  Generator g(2);
  MlpGan pair({.features = 5, .latent = 3, .hidden = {16}, .low = -1, .high = 3});
  Tensor x = pair.generate(randn({200, 3}, {.generator = &g}) * 100.0, g);
  CHECK(x.shape() == Shape{200, 5});
  CHECK(min(x).item() >= -1);
  CHECK(max(x).item() <= 3);
  CHECK(max(x).item() - min(x).item() > 3);  // saturated on both sides
  CHECK(pair.judge(x).shape() == Shape{200});
  MlpGan copy = pair;
  CHECK(copy.generator().parameters().size() == 4);
  CHECK_FALSE(copy.generator().parameters()[0].same_as(pair.generator().parameters()[0]));
  CHECK_THROWS_WITH_AS(MlpGan({.features = 0}), "mlp_gan: needs features and latent numbers, got 0 and 8", ConfigError);
  CHECK_THROWS_WITH_AS(MlpGan({.low = 1, .high = 0}), "mlp_gan: the range [1, 0] is empty", ConfigError);
}

TEST_CASE("mlp_gan: trained on points about (2, −1) it draws there; a loss added to the generator's holds it elsewhere") {
  auto middle = [](double pull) {
    manual_seed(3);
    Generator g(4);
    MlpGan pair({.features = 2, .latent = 4, .hidden = {32, 32}});
    optim::Adam generator(pair.generator().parameters(), {.lr = 2e-3, .beta1 = 0}),
        discriminator(pair.discriminator().parameters(), {.lr = 2e-3, .beta1 = 0});
    Tensor centre = tensor({2.0, -1.0});
    GanTraining training(
        pair, generator, discriminator, {.r1 = 1, .r1_every = 2},
        [&](int64_t, int64_t) {
          return randn({32, 2}, {.generator = &g}) * 0.2 + centre;
        },
        g);
    if (pull > 0)
      training.add_generator_loss([&, pull] { return pull * mean(square(pair.generate(randn({32, 4}, {.generator = &g}), g) - 5.0)); });
    for (int64_t k = 0; k < 400; ++k) training.step(k);
    NoGrad off;
    return to_vector(mean(pair.generate(randn({500, 4}, {.generator = &g}), g), {0}));
  };
  std::vector<double> free = middle(0), held = middle(50);
  CHECK(std::abs(free[0] - 2) < 0.5);
  CHECK(std::abs(free[1] + 1) < 0.5);
  CHECK(held[0] > 4);
}
