// Scenes of digits: boxes about the ink, backgrounds, repeatability.
#include "methods/common/digit_scenes.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>

#include "engine/data/digits/digits.h"
#include "models/detection/boxes.h"
#include "models/detection/check_objects.h"
#include "ops/index.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

Scenes scenes(int64_t n, SceneOptions o, uint64_t seed = 3) {
  Generator g(seed);
  return digit_scenes(n, data::digits().train().take(200), zeros({1, 1, 8, 8}), o, g);
}

}  // namespace

TEST_CASE("digit scenes: on a black picture a single digit's box is the smallest about its ink") {
  Scenes s = scenes(20, {.size = 40, .max_digits = 1, .clutter = 0, .noise = 0});
  CHECK(s.images.shape() == Shape{20, 1, 40, 40});
  CHECK(s.truth.boxes.shape() == Shape{20, 1, 4});
  detection::check_objects("scenes", s.truth, 3, 40, 40);
  auto boxes = to_vector(s.truth.boxes);
  for (int64_t i = 0; i < 20; ++i) {
    auto image = to_vector<float>(select(s.images, 0, i));
    // Ink is multiplied by a brightness of 0.7 … 1, so 0.2 of full ink is 0.14 … 0.2: above 0.2 lies within, below 0.14 outside is the
    // rest.
    for (int64_t y = 0; y < 40; ++y)
      for (int64_t x = 0; x < 40; ++x) {
        const double* b = &boxes[static_cast<size_t>(4 * i)];
        bool inside = static_cast<double>(x) >= b[0] && static_cast<double>(x) < b[2] && static_cast<double>(y) >= b[1] &&
                      static_cast<double>(y) < b[3];
        if (!inside) CHECK(image[static_cast<size_t>(40 * y + x)] < 0.2f);
      }
    auto row_has_ink = [&](double y) {
      auto from = image.begin() + static_cast<int64_t>(40 * y);
      return *std::max_element(from, from + 40) >= 0.14f;
    };
    CHECK(row_has_ink(boxes[static_cast<size_t>(4 * i + 1)]));
    CHECK(row_has_ink(boxes[static_cast<size_t>(4 * i + 3)] - 1));
  }
}

TEST_CASE("digit scenes: digits hardly overlap, there is always one, classes are those asked for, and the seed decides") {
  SceneOptions o{.size = 48, .max_digits = 4, .class_of_digit = {0, 1, -1, -1, -1, -1, -1, 2, -1, -1}};
  Scenes s = scenes(60, o), again = scenes(60, o), other = scenes(60, o, 4);
  CHECK(to_vector(s.images) == to_vector(again.images));
  CHECK(to_vector(s.images) != to_vector(other.images));
  CHECK(min(s.images).item() >= 0);
  CHECK(max(s.images).item() <= 1);
  detection::check_objects("scenes", s.truth, 3, 48, 48);
  std::vector<int64_t> seen(3);
  for (int64_t i = 0; i < 60; ++i) {
    auto kinds = to_vector<int64_t>(select(s.truth.classes, 0, i));
    CHECK(kinds[0] >= 0);
    auto iou = to_vector(detection::pairwise_box_iou(select(s.truth.boxes, 0, i), select(s.truth.boxes, 0, i)));
    for (size_t a = 0; a < 4; ++a) {
      if (kinds[a] >= 0) ++seen[static_cast<size_t>(kinds[a])];
      for (size_t b = 0; b < a; ++b)
        if (kinds[a] >= 0 && kinds[b] >= 0) CHECK(iou[4 * a + b] <= 0.05 + 1e-6);
    }
  }
  for (int64_t n : seen) CHECK(n > 0);
  Scenes two = select_scenes(s, tensor({5, 7}));
  CHECK(to_vector(select(two.images, 0, 1)) == to_vector(select(s.images, 0, 7)));
  CHECK(to_vector(select(two.truth.boxes, 0, 0)) == to_vector(select(s.truth.boxes, 0, 5)));
}

TEST_CASE("digit scenes: backgrounds are textures without data, photographs with it") {
  Generator g(1);
  Backgrounds made = generated_backgrounds(g);
  CHECK(made.source == "generated textures");
  CHECK(made.train.shape() == Shape{200, 1, 32, 32});
  CHECK(max(made.train).item() <= 1);
  CHECK(to_vector(narrow(made.train, 0, 0, 1)) != to_vector(narrow(made.test, 0, 0, 1)));
  const char* directory = std::getenv("PLUMB_DATA");
  Backgrounds read = scene_backgrounds(g, directory ? directory : "/nowhere");
  if (read.source == "generated textures") {
    MESSAGE("skipped: PLUMB_DATA names no directory with cifar10/test_batch.bin");
    return;
  }
  CHECK(read.source == "CIFAR-10 images");
  CHECK(read.train.size(1) == 1);
  CHECK(read.train.size(2) == 32);
  CHECK(read.train.size(0) >= 100);
}

TEST_CASE("digit scenes: mistakes are named") {
  Generator g(1);
  auto digits = data::digits().test().take(10);
  auto make = [&](SceneOptions o) { return digit_scenes(2, digits, zeros({1, 1, 8, 8}), o, g); };
  CHECK_THROWS_WITH_AS(make({.size = 16, .max_side = 22}), "digit_scenes: digits of 12 to 22 pixels in scenes of 16; 8 at least",
                       ValueError);
  CHECK_THROWS_WITH_AS(make({.min_digits = 0}), "digit_scenes: 0 to 4 digits", ValueError);
  CHECK_THROWS_WITH_AS(make({.class_of_digit = std::vector<int64_t>(10, -1)}), "digit_scenes: none of the digits has a class", ValueError);
  CHECK_THROWS_WITH_AS(digit_scenes(2, digits, zeros({1, 3, 8, 8}), {}, g),
                       "digit_scenes: backgrounds are to be [m, 1, H, W], got [1, 3, 8, 8]", ShapeError);
}
