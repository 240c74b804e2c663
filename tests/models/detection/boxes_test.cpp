// Boxes: forms, overlaps by hand and by counting, derivatives, deltas, non-maximum suppression.
#include "models/detection/boxes.h"

#include <doctest/doctest.h>

#include <cmath>

#include "ops/gradcheck.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::detection;

namespace {

Tensor box(double a, double b, double c, double d) { return from_vector(std::vector<double>{a, b, c, d}); }

// Boxes with corners in [0, 8], as f64 [n, 4].
Tensor boxes(int64_t n, uint64_t seed) {
  Tensor c = test::sample({n, 4}, seed, f64, 1, 4);
  return to_corners(c);
}

}  // namespace

TEST_CASE("boxes: corners and centres are two forms of one box") {
  CHECK(to_vector(to_corners(box(5, 6, 4, 2))) == std::vector<double>{3, 5, 7, 7});
  CHECK(to_vector(to_centres(box(3, 5, 7, 7))) == std::vector<double>{5, 6, 4, 2});
  CHECK(box_area(box(3, 5, 7, 7)).item() == 8);
  CHECK(test::difference(to_corners(to_centres(boxes(6, 1))), boxes(6, 1)) < 1e-14);
}

TEST_CASE("boxes: overlaps worked out by hand") {
  Tensor a = box(0, 0, 4, 4), b = box(2, 1, 6, 3);  // 4 of 16 + 8 − 4 = 20; the hull is 6 × 4
  CHECK(box_iou(a, b).item() == doctest::Approx(0.2));
  CHECK(generalized_box_iou(a, b).item() == doctest::Approx(0.2 - 4.0 / 24));
  Tensor c = box(0, 0, 1, 1), d = box(2, 2, 3, 3);
  CHECK(box_iou(c, d).item() == 0);
  CHECK(generalized_box_iou(c, d).item() == doctest::Approx(-7.0 / 9));
  CHECK(generalized_box_iou(a, a).item() == 1);
  Tensor point = box(1, 1, 1, 1);
  CHECK(box_iou(point, point).item() == 0);
  CHECK(generalized_box_iou(point, point).item() == 0);
}

TEST_CASE("boxes: overlaps agree with counting small squares") {
  std::vector<double> v;
  Generator g(2);
  for (int i = 0; i < 12; ++i) {  // whole numbers
    double x = static_cast<double>(g.next_below(6)), y = static_cast<double>(g.next_below(6));
    for (double e : {x, y, x + 1 + static_cast<double>(g.next_below(5)), y + 1 + static_cast<double>(g.next_below(5))}) v.push_back(e);
  }
  Tensor all = from_vector(v, {12, 4});
  auto iou = to_vector(pairwise_box_iou(all, all)), giou = to_vector(pairwise_generalized_box_iou(all, all));
  for (size_t i = 0; i < 12; ++i)
    for (size_t j = 0; j < 12; ++j) {
      double both = 0, either = 0, low[2] = {99, 99}, high[2] = {-1, -1};
      for (int x = 0; x < 12; ++x)
        for (int y = 0; y < 12; ++y) {
          auto in = [&](const double* b) { return x >= b[0] && x < b[2] && y >= b[1] && y < b[3]; };
          bool p = in(&v[4 * i]), q = in(&v[4 * j]);
          both += p && q, either += p || q;
          if (!p && !q) continue;
          low[0] = std::min<double>(low[0], x), low[1] = std::min<double>(low[1], y), high[0] = std::max<double>(high[0], x + 1),
          high[1] = std::max<double>(high[1], y + 1);
        }
      double hull = (high[0] - low[0]) * (high[1] - low[1]);
      CHECK(iou[i * 12 + j] == doctest::Approx(both / either));
      CHECK(giou[i * 12 + j] == doctest::Approx(both / either - (hull - either) / hull));
    }
}

TEST_CASE("boxes: derivatives agree with differences, also for boxes apart") {
  auto check = [](auto f, const Tensor& a, const Tensor& b) {
    CHECK(gradcheck([&](const std::vector<Tensor>& x) { return std::vector<Tensor>{f(x[0], x[1])}; }, {a, b}));
    CHECK(gradgradcheck([&](const std::vector<Tensor>& x) { return std::vector<Tensor>{f(x[0], x[1])}; }, {a, b}));
  };
  check([](const Tensor& a, const Tensor& b) { return generalized_box_iou(a, b); }, boxes(5, 3), boxes(5, 4) + 0.3);
  check([](const Tensor& a, const Tensor& b) { return box_iou(a, b); }, boxes(5, 5), boxes(5, 6) + 0.2);
  check([](const Tensor& a, const Tensor& d) { return apply_deltas(a, d); }, boxes(5, 7), test::sample({5, 4}, 8));
  Tensor apart = (box(2, 2, 3, 3)).requires_grad_();
  generalized_box_iou(apart, box(0, 0, 1, 1)).backward();
  CHECK(to_vector(apart.grad())[0] < 0);  // coming nearer helps
}

TEST_CASE("boxes: deltas move by shares of the size and scale by powers") {
  auto moved = to_vector(apply_deltas(box(10, 20, 30, 60), box(0.4, -0.2, 0.3, -0.5)));
  const double expected[] = {24 - 10 * std::exp(0.3), 36 - 20 * std::exp(-0.5), 24 + 10 * std::exp(0.3), 36 + 20 * std::exp(-0.5)};
  for (size_t i = 0; i < 4; ++i) CHECK(moved[i] == doctest::Approx(expected[i]));
  CHECK(moved[0] == doctest::Approx(10.5014).epsilon(1e-5));
  CHECK(to_vector(apply_deltas(box(1, 2, 3, 5), box(0, 0, 0, 0))) == std::vector<double>{1, 2, 3, 5});
  CHECK(std::isfinite(to_vector(apply_deltas(box(0, 0, 1, 1), box(0, 0, 1e4, 0)))[2]));
  CHECK(to_vector(clip_boxes(box(-1, -2, 9, 3), 5, 8)) == std::vector<double>{0, 0, 8, 3});
}

TEST_CASE("boxes: suppression keeps the best of what overlaps, class by class") {
  Tensor b = tensor({{0.0, 0.0, 4.0, 4.0}, {0.0, 0.0, 4.0, 3.0}, {5.0, 5.0, 6.0, 6.0}, {0.0, 0.0, 4.0, 4.0}}),
         scores = tensor({0.5, 0.9, 0.2, 0.5});
  CHECK(to_vector<int64_t>(non_maximum_suppression(b, scores, 0.5)) == std::vector<int64_t>{1, 2});
  CHECK(to_vector<int64_t>(non_maximum_suppression(b, scores, 0.8)) == std::vector<int64_t>{1, 0, 2});  // the first of two equal ones
  CHECK(to_vector<int64_t>(non_maximum_suppression(b, scores, 0.5, tensor({1, 0, 0, 1}))) == std::vector<int64_t>{1, 0, 2});
  CHECK(non_maximum_suppression(zeros({0, 4}), zeros({0}), 0.5).numel() == 0);
}

TEST_CASE("boxes: what does not fit is named") {
  CHECK_THROWS_WITH_AS(to_corners(zeros({2, 3})), "to_corners: boxes are to be [.., 4], got [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(non_maximum_suppression(zeros({2, 4}), zeros({3}), 0.5),
                       "non_maximum_suppression: boxes [2, 4], scores [3] do not fit [n, 4] and [n]", ShapeError);
  CHECK_THROWS_WITH_AS(non_maximum_suppression(zeros({2, 4}), zeros({2}), 2),
                       "non_maximum_suppression: threshold 2 is outside [0, 1]", ValueError);
}
