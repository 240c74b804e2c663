// Moving images: every pixel of every frame is where the image and its velocity put it.
#include "engine/data/moving_images.h"

#include <doctest/doctest.h>

#include <set>

#include "engine/data/digits/digits.h"

using namespace plumb;

TEST_CASE("moving_images: each frame is the image moved on by its velocity, across the border") {
  data::Dataset digits = data::digits().all().take(5);
  data::Dataset videos =
      data::moving_images(digits, 40, {.frames = 7, .side = 10, .directions = data::Directions::eight, .random_start = true, .seed = 4});
  REQUIRE(videos.size() == 40);
  std::set<int64_t> directions, tops;
  for (int64_t i = 0; i < 40; ++i) {
    data::Sample v = videos[i];
    REQUIRE(v["video"].shape() == Shape{1, 7, 10, 10});
    Tensor image = digits[i % 5].image;
    CHECK(v.label.item<int64_t>() == digits[i % 5].label.item<int64_t>());
    std::vector<double> pixels = to_vector(v["video"]), still = to_vector(image);
    std::vector<int64_t> start = to_vector<int64_t>(v["start"]);
    auto [down, right] = data::step_of(v["direction"].item<int64_t>());
    directions.insert(v["direction"].item<int64_t>());
    tops.insert(start[0]);
    double wrong = 0, total = 0;
    for (int64_t f = 0; f < 7; ++f)
      for (int64_t y = 0; y < 8; ++y)
        for (int64_t x = 0; x < 8; ++x) {
          int64_t row = (start[0] + f * down + y + 70) % 10, column = (start[1] + f * right + x + 70) % 10;
          wrong += std::abs(pixels[static_cast<size_t>((f * 10 + row) * 10 + column)] - still[static_cast<size_t>(y * 8 + x)]);
          total += still[static_cast<size_t>(y * 8 + x)];
        }
    for (double p : pixels) total -= p;
    CHECK(wrong == 0);
    CHECK(std::abs(total) < 1e-3);  // and nothing else is there
  }
  CHECK(directions.size() >= 6);
  CHECK(tops.size() >= 6);
}

TEST_CASE("moving_images: without a start of its own the image begins in the middle; a video depends on the seed and its place alone") {
  data::Dataset digits = data::digits().all();
  data::Dataset a = data::moving_images(digits, 10, {.side = 12, .seed = 1}), b = data::moving_images(digits, 20, {.side = 12, .seed = 1});
  CHECK(to_vector(a[3]["start"]) == std::vector<double>{2, 2});
  CHECK(to_vector(a[3]["video"]) == to_vector(b[3]["video"]));
  CHECK(data::moving_images(digits, 1)[0]["video"].shape() == Shape{1, 6, 8, 8});
  std::set<int64_t> directions;
  for (int64_t i = 0; i < 20; ++i) directions.insert(b[i]["direction"].item<int64_t>());
  CHECK(directions == std::set<int64_t>{0, 1, 2, 3});
}

TEST_CASE("moving_images: options out of range are errors of one line") {
  data::Dataset digits = data::digits().all();
  CHECK_THROWS_WITH_AS(data::moving_images(digits, 3, {.frames = 0}),
                       "moving_images: videos, canvas and speed must not be negative, frames be at least 1; they are 3, 0, 1 and 0",
                       ValueError);
  CHECK_THROWS_WITH_AS(data::moving_images(digits.take(0), 3), "moving_images: there is no image to move", ValueError);
  CHECK_THROWS_WITH_AS(data::moving_images(digits, 3, {.side = 6})[0], "moving_images: an image of 8×8 does not fit a canvas of 6×6",
                       ShapeError);
  CHECK_THROWS_WITH_AS(data::step_of(8), "step_of: direction 8 is outside [0, 8)", ValueError);
}
