// Losses of segmentations: the worked Dice numbers, images one by one, and the U-Net's deepest map.
#include "models/unet/segmentation_losses.h"

#include <doctest/doctest.h>

#include <cmath>

#include "models/unet/segmentation.h"
#include "ops/gradcheck.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "ops/softmax.h"

using namespace plumb;
using namespace plumb::unet;

TEST_CASE("soft_dice_loss: each class over the whole batch, the mean over classes") {
  Tensor s = tensor({{{{.8, .3}, {.1, .6}}}}, f64), t = tensor({{{{1.0, 0.0}, {0.0, 1.0}}}}, f64);
  CHECK(soft_dice_loss(s, t).item() == doctest::Approx(.0967739).epsilon(2e-6));
  CHECK(soft_dice_loss(1.0 - s, 1.0 - t).item() == doctest::Approx(.0857140).epsilon(2e-6));
  CHECK(soft_dice_loss(cat({1.0 - s, s}, 1), cat({1.0 - t, t}, 1)).item() == doctest::Approx(.0912440).epsilon(2e-6));
  Tensor none = zeros({1, 1, 2, 2}, f64);
  CHECK(soft_dice_loss(none, none).item() == doctest::Approx(0).epsilon(1e-12));
  CHECK(soft_dice_loss(full({1, 1, 2, 2}, .1, f64), none).item() == doctest::Approx(.999750).epsilon(1e-6));
  // A second, full image keeps a faint false positive on an empty one from counting as a whole miss.
  Tensor both_s = cat({full({1, 1, 2, 2}, .1, f64), ones({1, 1, 2, 2}, f64)}, 0), both_t = cat({none, ones({1, 1, 2, 2}, f64)}, 0);
  CHECK(soft_dice_loss(both_s, both_t).item() == doctest::Approx(1 - 8 / 8.04).epsilon(1e-4));
}

TEST_CASE("soft_dice_loss_with_logits: softmax and one-hot masks; its gradient is right") {
  Generator g(1);
  Tensor logits = randn({2, 3, 2, 2}, {.dtype = f64, .generator = &g}), mask = tensor({{{0, 1}, {2, 0}}, {{1, 1}, {0, 2}}});
  Tensor p = softmax(logits, 1), hot = zeros({2, 3, 2, 2}, f64);
  auto m = to_vector<int64_t>(mask);
  for (size_t b = 0; b < 2; ++b)
    for (size_t k = 0; k < 4; ++k) hot.data<double>()[b * 12 + static_cast<size_t>(m[b * 4 + k]) * 4 + k] = 1;
  CHECK(soft_dice_loss_with_logits(logits, mask).item() == doctest::Approx(soft_dice_loss(p, hot).item()).epsilon(1e-12));
  CHECK(gradcheck([&](const std::vector<Tensor>& x) { return soft_dice_loss_with_logits(x[0], mask); }, {logits}));
}

TEST_CASE("per_sample_cross_entropy: one mean over pixels an image") {
  Generator g(2);
  Tensor logits = randn({2, 3, 2, 4}, {.dtype = f64, .generator = &g}), mask = randint(0, 3, {2, 2, 4}, {.dtype = i64, .generator = &g});
  auto got = to_vector(per_sample_cross_entropy(logits, mask));
  auto z = to_vector(logits);
  auto m = to_vector<int64_t>(mask);
  for (size_t b = 0; b < 2; ++b) {
    double total = 0;
    for (size_t k = 0; k < 8; ++k) {
      double sum = 0;
      for (size_t c = 0; c < 3; ++c) sum += std::exp(z[b * 24 + c * 8 + k]);
      total += std::log(sum) - z[b * 24 + static_cast<size_t>(m[b * 8 + k]) * 8 + k];
    }
    CHECK(got[b] == doctest::Approx(total / 8).epsilon(1e-12));
  }
  CHECK_THROWS_WITH_AS(per_sample_cross_entropy(logits, zeros({2, 4, 2}, i64)),
                       "per_sample_cross_entropy: logits [2, 3, 2, 4] with masks [2, 4, 2]", ShapeError);
  CHECK_THROWS_WITH_AS(per_sample_cross_entropy(logits, full({2, 2, 4}, 3, i64)),
                       "per_sample_cross_entropy: mask label 3 is outside [0, 3)", IndexError);
  CHECK_THROWS_WITH_AS(soft_dice_loss_with_logits(logits, full({2, 2, 4}, -1, i64)), "soft_dice_loss: mask label -1 is outside [0, 3)",
                       IndexError);
  CHECK_THROWS_AS(soft_dice_loss(logits, logits, 0), ValueError);
}

TEST_CASE("segmentation unet: maps gives the logits and the deepest map of the encoder") {
  manual_seed(3);
  SegmentationUnet net({.in_channels = 1, .classes = 3, .width = 4, .depth = 2});
  net.eval();
  Generator g(3);
  Tensor x = rand({2, 1, 8, 12}, {.generator = &g});
  SegmentationMaps maps = net.maps(x);
  CHECK(maps.deepest.shape() == Shape{2, 16, 2, 3});
  CHECK(to_vector(maps.logits) == to_vector(net(x)));
}
