// True boxes that cannot be: each is named in one line.
#include "models/detection/check_objects.h"

#include <doctest/doctest.h>

#include <cmath>

using namespace plumb;
using namespace plumb::detection;

namespace {

void check(const Tensor& boxes, const Tensor& classes) { check_objects("train", {boxes, classes}, 3, 32, 48); }

}  // namespace

TEST_CASE("check objects: boxes within the image pass, and padding is not looked at") {
  CHECK_NOTHROW(check(tensor({{{0.0, 0.0, 48.0, 32.0}, {-5.0, 9.0, -7.0, 1.0}}}), tensor({{2, -1}})));
  CHECK_NOTHROW(check(zeros({2, 0, 4}), zeros({2, 0}, i64)));
}

TEST_CASE("check objects: what is wrong is said in one line") {
  Tensor one = tensor({{0}});
  CHECK_THROWS_WITH_AS(check(tensor({{{4.0, 4.0, 50.0, 20.0}}}), one),
                       "train: box [4, 4, 50, 20] of image 0 reaches outside the image of 48 × 32", ValueError);
  CHECK_THROWS_WITH_AS(check(tensor({{{-1.0, 4.0, 5.0, 20.0}}}), one),
                       "train: box [-1, 4, 5, 20] of image 0 reaches outside the image of 48 × 32", ValueError);
  CHECK_THROWS_WITH_AS(check(tensor({{{4.0, 4.0, 5.0, 5.0}}, {{4.0, 4.0, 4.0, 5.0}}}), tensor({{0}, {1}})),
                       "train: box [4, 4, 4, 5] of image 1 has no width or height", ValueError);
  CHECK_THROWS_WITH_AS(check(tensor({{{4.0, NAN, 8.0, 5.0}}}), one), "train: box [4, nan, 8, 5] of image 0 is not finite", ValueError);
  CHECK_THROWS_WITH_AS(check(tensor({{{4.0, 4.0, 8.0, 9.0}}}), tensor({{3}})), "train: class 3 is outside [0, 3), and not −1 for no object",
                       IndexError);
  CHECK_THROWS_WITH_AS(check(tensor({{{4.0, 4.0, 8.0, 9.0}}}), tensor({{1, 1}})),
                       "train: boxes [1, 1, 4] and classes [1, 2] do not fit [B, K, 4] and [B, K]", ShapeError);
}
