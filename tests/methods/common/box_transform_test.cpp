// Maps of images and boxes: points, composition, inverse, and that an image and the boxes in it move together.
#include "methods/common/box_transform.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

using namespace plumb;
using methods::BoxTransform;

namespace {

void check_point(const BoxTransform& map, double x, double y, double wanted_x, double wanted_y) {
  auto [u, v] = map.point(x, y);
  CHECK(u == doctest::Approx(wanted_x).epsilon(1e-12));
  CHECK(v == doctest::Approx(wanted_y).epsilon(1e-12));
}

}  // namespace

TEST_CASE("box transform: each kind of map, in the order in which they are put together") {
  check_point(BoxTransform::mirrored(10), 3, 4, 7, 4);
  check_point(BoxTransform::scaled(2, 8, 10), 6, 5, 7, 6);
  check_point(BoxTransform::turned(90, 8, 10), 6, 4, 5, 5);
  check_point(BoxTransform::slanted(45, 0, 8, 10), 5, 6, 7, 6);
  check_point(BoxTransform::slanted(0, 45, 8, 10), 7, 4, 7, 6);
  check_point(BoxTransform::mirrored(10).then(BoxTransform::moved(1, 2)), 3, 4, 8, 6);
  BoxTransform map = BoxTransform::turned(30, 8, 10).then(BoxTransform::slanted(20, 0, 8, 10)).then(BoxTransform::moved(3, -1));
  check_point(map.then(map.inverse()), 2.5, 7, 2.5, 7);
  check_point(map.inverse().then(map), 2.5, 7, 2.5, 7);
}

TEST_CASE("box transform: a box becomes the hull of its corners, clipped to the image") {
  Tensor boxes = tensor({{2.0, 2.0, 6.0, 4.0}, {7.0, 1.0, 9.0, 3.0}}, f64);
  CHECK(to_vector(BoxTransform::mirrored(10).boxes(boxes, 8, 10)) == std::vector<double>{4, 2, 8, 4, 1, 1, 3, 3});
  CHECK(to_vector(BoxTransform::moved(2, -2).boxes(boxes, 8, 10)) == std::vector<double>{4, 0, 8, 2, 9, 0, 10, 1});
  auto turned = to_vector(BoxTransform::turned(90, 8, 8).boxes(tensor({{2.0, 3.0, 6.0, 4.0}}, f64), 8, 8));
  const double wanted[] = {4, 2, 5, 6};
  for (size_t e = 0; e < 4; ++e) CHECK(turned[e] == doctest::Approx(wanted[e]).epsilon(1e-12));
}

TEST_CASE("box transform: the image goes where its boxes go") {
  Tensor image = zeros({1, 1, 12, 16}, f64);
  Tensor patch = narrow(narrow(image, 2, 3, 2), 3, 5, 3);  // rows 3, 4 and columns 5, 6, 7: the box [5, 3, 8, 5]
  fill_(patch, 1.0);
  Tensor box = tensor({{5.0, 3.0, 8.0, 5.0}}, f64);
  for (const BoxTransform& map : {BoxTransform(), BoxTransform::mirrored(16), BoxTransform::moved(3, 2), BoxTransform::turned(180, 12, 16),
                                  BoxTransform::mirrored(16).then(BoxTransform::moved(-1, 4))}) {
    auto b = to_vector(map.boxes(box, 12, 16)), pixels = to_vector(methods::warp_images(image, {map}));
    double inside = 0, all = 0;
    for (int y = 0; y < 12; ++y)
      for (int x = 0; x < 16; ++x) {
        double p = pixels[static_cast<size_t>(16 * y + x)];
        all += p;
        if (x + 0.5 > b[0] && x + 0.5 < b[2] && y + 0.5 > b[1] && y + 0.5 < b[3]) inside += p;
      }
    CHECK(inside == doctest::Approx(6).epsilon(1e-9));
    CHECK(all == doctest::Approx(6).epsilon(1e-9));
  }
  auto turned = to_vector(methods::warp_images(image, {BoxTransform::turned(90, 12, 16)}));
  auto b = to_vector(BoxTransform::turned(90, 12, 16).boxes(box, 12, 16));
  for (int y = 0; y < 12; ++y)
    for (int x = 0; x < 16; ++x) {
      bool within = x + 0.5 > b[0] && x + 0.5 < b[2] && y + 0.5 > b[1] && y + 0.5 < b[3];
      CHECK(turned[static_cast<size_t>(16 * y + x)] == doctest::Approx(within ? 1.0 : 0.0).epsilon(1e-9));
    }
}

TEST_CASE("box transform: mistakes are named") {
  CHECK_THROWS_WITH_AS(BoxTransform().boxes(zeros({2, 3}), 8, 8), "box_transform: boxes are to be [n, 4], got [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(BoxTransform({1, 1, 0, 1, 1, 0}).inverse(), "box_transform: the map has no inverse, its determinant is 0",
                       ValueError);
  CHECK_THROWS_WITH_AS(methods::warp_images(zeros({2, 1, 4, 4}), {BoxTransform()}),
                       "warp_images: images [2, 1, 4, 4] for 1 maps; takes [B, C, H, W]", ShapeError);
}
