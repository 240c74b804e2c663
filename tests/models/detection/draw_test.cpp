// Boxes drawn into pictures: the outline and nothing else, in its colour, cut off at the border.
#include "models/detection/draw.h"

#include <doctest/doctest.h>

#include "ops/shape.h"

using namespace plumb;
using namespace plumb::detection;

TEST_CASE("draw boxes: the outline's pixels change, the others are the enlarged image") {
  Tensor image = full({1, 3, 4}, 0.5), drawn = draw_boxes(image, tensor({{1.0, 0.0, 3.0, 2.0}}), tensor({0}), 2);
  REQUIRE(drawn.shape() == Shape{3, 6, 8});
  auto red = to_vector(select(drawn, 0, 0)), green = to_vector(select(drawn, 0, 1));
  for (size_t y = 0; y < 6; ++y)
    for (size_t x = 0; x < 8; ++x) {
      bool edge = x >= 2 && x <= 5 && y <= 3 && (x == 2 || x == 5 || y == 0 || y == 3);
      CHECK(red[y * 8 + x] == doctest::Approx(edge ? 1.0 : 0.5));
      CHECK(green[y * 8 + x] == doctest::Approx(edge ? 0.2 : 0.5));
    }
}

TEST_CASE("draw boxes: weak boxes are faint, boxes outside leave nothing, bad sizes are named") {
  Tensor image = zeros({3, 2, 2});
  CHECK(to_vector(draw_boxes(image, tensor({{0.0, 0.0, 2.0, 2.0}}), tensor({7}), 1, tensor({0.25})))[0] == 0.25);
  Tensor outside = draw_boxes(image, tensor({{5.0, 5.0, 9.0, 9.0}, {-9.0, -9.0, 1e9, -5.0}}), tensor({0, 1}));
  for (double v : to_vector(outside)) CHECK(v == 0);
  CHECK_THROWS_WITH_AS(draw_boxes(image, zeros({1, 4}), tensor({0, 1})),
                       "draw_boxes: image [3, 2, 2], boxes [1, 4] and classes [2] do not fit [1 or 3, H, W], [n, 4] and [n]", ShapeError);
  CHECK_THROWS_WITH_AS(draw_boxes(image, zeros({1, 4}), tensor({0}), 0), "draw_boxes: zoom must be at least 1, it is 0", ValueError);
}
