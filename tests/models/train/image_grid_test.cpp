// Grids of images: where each pixel lands.
#include <doctest/doctest.h>

#include <cmath>

#include "models/train/image_grid.h"
#include "tests/scratch.h"

using namespace plumb;
using namespace plumb::train;

TEST_CASE("image grid: images stand row by row with white between, pixels enlarged, values clipped") {
  Tensor x = from_vector(std::vector<float>{0, 1, 0.5f, 2, -1, NAN, 0.2f, 0.4f, 0, 0, 0, 0}, {3, 1, 2, 2});
  Tensor grid = image_grid(x, {.columns = 2, .border = 1, .zoom = 2});
  REQUIRE(grid.shape() == Shape{11, 11, 1});
  auto at = [&](int64_t row, int64_t column) { return static_cast<int>(grid.data<uint8_t>()[row * 11 + column]); };
  CHECK(at(0, 0) == 255);
  CHECK(at(1, 1) == 0);
  CHECK(at(2, 2) == 0);
  CHECK(at(1, 3) == 255);
  CHECK(at(3, 1) == 128);
  CHECK(at(4, 4) == 255);  // 2 is clipped
  CHECK(at(1, 6) == 0);    // so is −1
  CHECK(at(1, 8) == 0);    // not a number
  CHECK(at(3, 6) == 51);
  CHECK(at(6, 1) == 0);    // the third
  CHECK(at(6, 6) == 255);  // an empty place
}

TEST_CASE("image grid: colours stay together; bad tensors are refused") {
  Tensor x = from_vector(std::vector<float>{1, 0, 0.6f}, {1, 3, 1, 1});
  Tensor grid = image_grid(x, {.border = 0, .zoom = 1});
  REQUIRE(grid.shape() == Shape{1, 1, 3});
  CHECK(grid.data<uint8_t>()[0] == 255);
  CHECK(grid.data<uint8_t>()[2] == 153);
  CHECK_THROWS_WITH_AS(image_grid(zeros({2, 2, 3, 3})), "image_grid: takes images [n, 1 or 3, H, W], got [2, 2, 3, 3]", ShapeError);
  CHECK_THROWS_AS(image_grid(zeros({1, 1, 2, 2}, u8)), DTypeError);
}
