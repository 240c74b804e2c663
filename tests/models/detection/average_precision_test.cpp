// Average precision: an example worked out by hand, the rules of matching, classes without objects.
#include "models/detection/average_precision.h"

#include <doctest/doctest.h>

#include <cmath>

#include "ops/shape.h"

using namespace plumb;
using namespace plumb::detection;

namespace {

// Boxes of height 10 from (0, y) to (width, y + 10).
Tensor strips(const std::vector<std::pair<double, double>>& width_and_place) {
  std::vector<double> v;
  for (auto [width, y] : width_and_place)
    for (double e : {0.0, y, width, y + 10}) v.push_back(e);
  return from_vector(v, {static_cast<int64_t>(width_and_place.size()), 4});
}

Objects objects(const Tensor& boxes, const std::vector<int64_t>& classes) {
  return {unsqueeze(boxes, 0), from_vector(classes, {1, boxes.size(0)})};
}

}  // namespace

TEST_CASE("average precision: two images of one class, by hand") {
  AveragePrecision score(1);
  // Image 1: objects A and B. Found: A at IoU 1 (0.9), B's strip at 60 of 100 (0.7), and one on nothing (0.8).
  score.add({strips({{100, 0}, {100, 50}, {60, 20}}), tensor({0.9, 0.8, 0.7}), tensor({0, 0, 0})},
            objects(strips({{100, 0}, {100, 20}}), {0, 0}), 0);
  // Image 2: object C, found at 80 of 100 (0.6) and a second time at 78 (0.5).
  score.add({strips({{80, 0}, {78, 0}}), tensor({0.6, 0.5}), tensor({0, 0})}, objects(strips({{100, 0}}), {0}), 0);
  AveragePrecision::Result r = score.result();
  // Best first: A right, nothing wrong, B right up to IoU 0.60, C right up to 0.80, the double wrong. At IoU 0.5: precision 1, 1/2, 2/3,
  // 3/4, 3/5 at recall 1/3, 1/3, 2/3, 1, 1; made falling: 1, 3/4, 3/4, 3/4, 3/5. Recalls 0 … 0.33 (34 of 101) see 1, 0.34 … 1 (67) see 3/4.
  double at50 = (34 + 67 * 0.75) / 101;
  CHECK(r.ap50 == doctest::Approx(at50));
  CHECK(r.class_ap50[0] == doctest::Approx(at50));
  // At 0.65 to 0.80: right, wrong, wrong, right, wrong: precision 1 to recall 1/3, 1/2 to 2/3 (0.34 … 0.66: 33 of 101), nothing beyond.
  double at75 = (34 + 33 * 0.5) / 101;
  CHECK(r.ap75 == doctest::Approx(at75));
  // From 0.85 on A alone: 34 of 101.
  CHECK(r.ap == doctest::Approx((3 * at50 + 4 * at75 + 3 * (34.0 / 101)) / 10));
}

TEST_CASE("average precision: a box counts for one object, the better answer first, whatever order they come in") {
  AveragePrecision score(1);
  score.add({strips({{70, 0}, {90, 0}}), tensor({0.3, 0.8}), tensor({0, 0})}, objects(strips({{100, 0}}), {0}), 0);
  CHECK(score.result().ap50 == 1);
  AveragePrecision later(1);
  later.add({strips({{70, 0}, {90, 0}}), tensor({0.8, 0.3}), tensor({0, 0})}, objects(strips({{100, 0}}), {0}), 0);
  CHECK(later.result().ap75 == doctest::Approx(0.5));  // the better box is a double at 0.5, but right at 0.75, behind a wrong one
  CHECK(later.result().ap50 == 1);
}

TEST_CASE("average precision: classes are apart, those without objects do not count, misses cost") {
  AveragePrecision score(3);
  Objects truth = objects(strips({{100, 0}, {100, 50}, {7, 80}}), {0, 1, -1});
  score.add({strips({{100, 0}, {100, 50}, {100, 80}}), tensor({0.9, 0.9, 0.9}), tensor({0, 0, 2})}, truth, 0);
  AveragePrecision::Result r = score.result();
  CHECK(r.class_ap50[0] == 1);  // the wrong box stands behind the right one
  CHECK(r.class_ap50[1] == 0);
  CHECK(std::isnan(r.class_ap50[2]));
  CHECK(r.ap50 == 0.5);
  AveragePrecision nothing(2);
  CHECK(std::isnan(nothing.result().ap));
  nothing.add({zeros({0, 4}), zeros({0}), zeros({0}, i64)}, objects(strips({{9, 0}}), {1}), 0);
  CHECK(nothing.result().ap == 0);
}

TEST_CASE("average precision: what does not fit is named") {
  AveragePrecision score(2);
  Objects truth = objects(strips({{9, 0}}), {0});
  CHECK_THROWS_WITH_AS(score.add({strips({{9, 0}}), tensor({0.5}), tensor({2})}, truth, 0), "average_precision: class 2 is outside [0, 2)",
                       IndexError);
  CHECK_THROWS_WITH_AS(score.add({strips({{9, 0}}), tensor({0.5, 0.4}), tensor({1})}, truth, 0),
                       "average_precision: boxes [1, 4], scores [2] and classes [1] do not fit [n, 4] and [n]", ShapeError);
  CHECK_THROWS_WITH_AS(AveragePrecision(0), "average_precision: needs at least one class, not 0", ValueError);
}
