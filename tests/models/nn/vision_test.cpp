// Resizing and reordering layers are their operations.
#include "models/nn/vision.h"

#include <doctest/doctest.h>

#include "models/nn/containers.h"

using namespace plumb;

TEST_CASE("vision layers: upsampling by size and by scale") {
  Tensor x = tensor({{{{1.0, 2.0}, {3.0, 4.0}}}});
  CHECK(to_vector(nn::Upsample({.scale = 2})(x)) == std::vector<double>{1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4});
  CHECK(to_vector(nn::Upsample({.size = Size2{2, 3}, .mode = Interpolation::linear, .align_corners = true})(x)) ==
        std::vector<double>{1, 1.5, 2, 3, 3.5, 4});
  Tensor cubic = nn::Upsample({.scale = 3, .mode = Interpolation::bicubic})(x);
  CHECK(cubic.shape() == Shape{1, 1, 6, 6});
  CHECK(to_vector(cubic) == to_vector(interpolate(x, {.scale = 3, .mode = Interpolation::bicubic})));
  CHECK_THROWS_WITH_AS(nn::Upsample({.size = Size2{2, 2}, .scale = 2})(x), "interpolate: takes a size or a scale", ValueError);
}

TEST_CASE("vision layers: pixel shuffle and its inverse, in a Sequential") {
  Tensor x = tensor({{{{1.0}}, {{2.0}}, {{3.0}}, {{4.0}}}});
  Tensor y = nn::PixelShuffle(2)(x);
  CHECK(y.shape() == Shape{1, 1, 2, 2});
  CHECK(to_vector(y) == std::vector<double>{1, 2, 3, 4});
  nn::Sequential net{nn::PixelShuffle(2), nn::PixelUnshuffle(2), nn::ChannelShuffle(2)};
  CHECK(to_vector(net(x)) == std::vector<double>{1, 3, 2, 4});
}
