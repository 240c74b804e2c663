// Videos as pictures: which pixel of which frame lands where.
#include <doctest/doctest.h>

#include "models/train/video_grid.h"
#include "ops/create.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

using namespace plumb;

TEST_CASE("video grid: frames of all videos at one time, and one video's frames in a row") {
  Tensor videos = reshape(arange(12, f32), {2, 1, 3, 1, 2}) / 20.0;  // video v, frame f, column x: (6 v + 2 f + x)/20
  auto level = [](int64_t v, int64_t f, int64_t x) { return static_cast<int>((6 * v + 2 * f + x) / 20.0 * 255 + 0.5); };
  Tensor moving = train::video_grid(videos, {.columns = 2, .border = 0, .zoom = 1});
  REQUIRE(moving.shape() == Shape{3, 1, 4, 1});
  Tensor strips = train::video_strips(videos, {.border = 0, .zoom = 1});
  REQUIRE(strips.shape() == Shape{2, 6, 1});
  for (int64_t v = 0; v < 2; ++v)
    for (int64_t f = 0; f < 3; ++f)
      for (int64_t x = 0; x < 2; ++x) {
        CHECK(moving.data<uint8_t>()[f * 4 + v * 2 + x] == level(v, f, x));
        CHECK(strips.data<uint8_t>()[v * 6 + f * 2 + x] == level(v, f, x));
      }
  CHECK_THROWS_WITH_AS(train::video_grid(zeros({2, 1, 4, 4})), "video_grid: takes videos [n, C, F, H, W], got [2, 1, 4, 4]", ShapeError);
}
