// Stick figures: joints lie where the ink is, and the seed decides.
#include "methods/common/stick_figures.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "ops/index.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("stick figures: on a black picture there is ink at every joint within the image, and the box about them has the area") {
  Generator g(1);
  Figures f = stick_figures(40, zeros({1, 1, 4, 4}), {.stray = 0, .blocks = 0, .noise = 0}, g);
  CHECK(f.images.shape() == Shape{40, 1, 32, 32});
  auto joints = to_vector(f.joints), area = to_vector(f.area);
  for (int64_t i = 0; i < 40; ++i) {
    auto image = to_vector<float>(select(f.images, 0, i));
    double low_x = INFINITY, low_y = INFINITY, high_x = -INFINITY, high_y = -INFINITY;
    for (size_t j = 0; j < 8; ++j) {
      const double* p = &joints[3 * (static_cast<size_t>(i) * 8 + j)];
      low_x = std::min(low_x, p[0]), high_x = std::max(high_x, p[0]), low_y = std::min(low_y, p[1]), high_y = std::max(high_y, p[1]);
      bool within = p[0] >= 0 && p[1] >= 0 && p[0] <= 31 && p[1] <= 31;
      CHECK(p[2] == (within ? 1 : 0));
      if (within) CHECK(image[static_cast<size_t>(32 * std::lround(p[1]) + std::lround(p[0]))] > 0.1f);
    }
    CHECK(area[static_cast<size_t>(i)] == doctest::Approx((high_x - low_x) * (high_y - low_y)).epsilon(1e-4));
  }
  CHECK(mean(select(f.joints, 2, 2)).item() > 0.8);
}

TEST_CASE("stick figures: the seed decides, and left and right name each other's mirror image") {
  auto make = [](uint64_t seed) {
    Generator g(seed);
    return stick_figures(3, ones({2, 1, 8, 8}), {}, g);
  };
  CHECK(to_vector(make(1).images) == to_vector(make(1).images));
  CHECK(to_vector(make(1).joints) != to_vector(make(2).joints));
  for (size_t j = 0; j < kFigureJoints; ++j) CHECK(kMirroredJoint[static_cast<size_t>(kMirroredJoint[j])] == static_cast<int64_t>(j));
  CHECK(std::string(figure_joint_names()[2]) == "left hand");
  Generator g(1);
  CHECK_THROWS_WITH_AS(stick_figures(0, ones({1, 1, 8, 8}), {}, g), "stick_figures: 0 figures", ValueError);
  CHECK_THROWS_WITH_AS(stick_figures(1, ones({1, 3, 8, 8}), {}, g), "stick_figures: backgrounds are to be [m, 1, H, W], got [1, 3, 8, 8]",
                       ShapeError);
}
