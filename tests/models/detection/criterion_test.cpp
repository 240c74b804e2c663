// The detection loss: costs and terms by plain loops, matching, padding, no objects, derivatives.
#include "models/detection/criterion.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "models/detection/boxes.h"
#include "ops/gradcheck.h"
#include "ops/join.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::detection;

namespace {

constexpr int64_t kHeight = 20, kWidth = 40;

Prediction predicted(uint64_t seed, int64_t images = 2, int64_t count = 5) {
  Tensor centres = cat({test::sample({images, count, 2}, seed, f64, 4, 16), test::sample({images, count, 2}, seed + 1, f64, 3, 8)}, 2);
  return {test::sample({images, count, 3}, seed + 2), to_corners(centres)};
}

// Two objects in image 0, with padding between, one in image 1.
Objects truth() {
  std::vector<double> boxes{3, 4, 9, 12, 0, 0, 0, 0, 10, 6, 18, 15, 5, 5, 12, 10, 0, 0, 0, 0, 0, 0, 0, 0};
  return {from_vector(boxes, {2, 3, 4}), tensor({{1, -1, 0}, {2, -1, -1}})};
}

double focal(double x, bool is) {
  double p = 1 / (1 + std::exp(-x));
  return is ? -0.25 * (1 - p) * (1 - p) * std::log(p) : -0.75 * p * p * std::log(1 - p);
}

double l1(const double* a, const double* b) {
  double sum = 0;
  for (int e = 0; e < 4; ++e) sum += std::abs(a[e] - b[e]) / static_cast<double>(e % 2 ? kHeight : kWidth);
  return sum;
}

double giou(const double* a, const double* b) {
  double w = std::max(0.0, std::min(a[2], b[2]) - std::max(a[0], b[0])), h = std::max(0.0, std::min(a[3], b[3]) - std::max(a[1], b[1]));
  double either = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h;
  double hull = (std::max(a[2], b[2]) - std::min(a[0], b[0])) * (std::max(a[3], b[3]) - std::min(a[1], b[1]));
  return w * h / either - (hull - either) / hull;
}

}  // namespace

TEST_CASE("detection loss: the pairs are the cheapest, and the terms those of the pairs, by plain loops") {
  Prediction p = predicted(1);
  Objects t = truth();
  const double *logits = p.logits.data<double>(), *boxes = p.boxes.data<double>(), *wanted = t.boxes.data<double>();
  auto cost = [&](int64_t image, int64_t prediction, int64_t object, int64_t kind) {
    const double *x = logits + (image * 5 + prediction) * 3, *b = boxes + (image * 5 + prediction) * 4,
                 *w = wanted + (image * 3 + object) * 4;
    return 2 * (focal(x[kind], true) - focal(x[kind], false)) + 5 * l1(b, w) - 2 * giou(b, w);
  };
  int64_t best[3] = {-1, -1, -1};
  double least = INFINITY;
  for (int64_t i = 0; i < 5; ++i)
    for (int64_t j = 0; j < 5; ++j)
      if (double c = cost(0, i, 0, 1) + cost(0, j, 2, 0); i != j && c < least) least = c, best[0] = i, best[1] = j;
  least = INFINITY;
  for (int64_t i = 0; i < 5; ++i)
    if (double c = cost(1, i, 0, 2); c < least) least = c, best[2] = i;
  std::vector<Pairs> pairs = match_objects(p, t, kHeight, kWidth);
  Pairs first{{best[0], 0}, {best[1], 2}};
  std::sort(first.begin(), first.end());
  CHECK(pairs[0] == first);
  CHECK(pairs[1] == Pairs{{best[2], 0}});

  double classes = 0, distance = 0, overlap = 0;
  for (int64_t i = 0; i < 30; ++i) {
    int64_t row = i / 3, kind = i % 3;
    bool is = (row == best[0] && kind == 1) || (row == best[1] && kind == 0) || (row == 5 + best[2] && kind == 2);
    classes += focal(logits[i], is) / 3;
  }
  for (auto [row, object] : {std::pair{best[0], 0}, {best[1], 2}, {5 + best[2], 3}})
    distance += l1(boxes + 4 * row, wanted + 4 * object) / 3, overlap += (1 - giou(boxes + 4 * row, wanted + 4 * object)) / 3;
  DetectionLoss loss = detection_loss({p}, t, kHeight, kWidth);
  CHECK(loss.classes.item() == doctest::Approx(classes).epsilon(1e-10));
  CHECK(loss.l1.item() == doctest::Approx(distance).epsilon(1e-10));
  CHECK(loss.giou.item() == doctest::Approx(overlap).epsilon(1e-10));
  CHECK(loss.total.item() == doctest::Approx(2 * classes + 5 * distance + 2 * overlap).epsilon(1e-10));
  CHECK(detection_loss({p, p}, t, kHeight, kWidth).total.item() == doctest::Approx(2 * loss.total.item()));
}

TEST_CASE("detection loss: with dynamic k several predictions answer for an object, those outside it come last") {
  Prediction p = predicted(4, 1, 6);
  Tensor boxes = p.boxes.detach();
  for (int64_t i : {1, 4}) {  // two that cover the object almost wholly
    Tensor row = select(select(boxes, 0, 0), 0, i);
    copy_data(tensor({3.0, 4.0, 9.2, 12.0 + 0.1 * static_cast<double>(i)}, f64), row);
  }
  Objects t{tensor({{{3.0, 4.0, 9.0, 12.0}}}, f64), tensor({{1}})};
  std::vector<Pairs> pairs = match_objects(p, t, kHeight, kWidth, {.one_to_one = false});
  CHECK(pairs[0].size() >= 1);
  for (auto [prediction, object] : pairs[0]) {
    auto c = to_vector(to_centres(select(select(p.boxes, 0, 0), 0, prediction)));
    CHECK((c[0] > 3 && c[0] < 9 && c[1] > 4 && c[1] < 12));
  }
  DetectionLoss loss = detection_loss({p}, t, kHeight, kWidth, {.one_to_one = false});
  CHECK(std::isfinite(loss.total.item()));
}

TEST_CASE("detection loss: without objects only the classes are pushed down") {
  Prediction p = predicted(7);
  p.logits.requires_grad_(), p.boxes.requires_grad_();
  for (const Objects& none : {Objects{zeros({2, 3, 4}, f64), full({2, 3}, -1, i64)}, Objects{zeros({2, 0, 4}, f64), zeros({2, 0}, i64)}}) {
    DetectionLoss loss = detection_loss({p}, none, kHeight, kWidth);
    CHECK(loss.l1.item() == 0);
    CHECK(loss.giou.item() == 0);
    double expected = 0;
    for (double x : to_vector(p.logits)) expected += focal(x, false);
    CHECK(loss.classes.item() == doctest::Approx(expected));
    p.boxes.zero_grad();
    loss.total.backward();
    double most = 0;
    if (p.boxes.grad().defined())
      for (double g : to_vector(p.boxes.grad())) most = std::max(most, std::abs(g));
    CHECK(most == 0);
  }
}

TEST_CASE("detection loss: derivatives agree with differences") {
  Prediction p = predicted(8);
  auto f = [&](const std::vector<Tensor>& x) {
    return std::vector<Tensor>{detection_loss({{x[0], x[1]}}, truth(), kHeight, kWidth).total};
  };
  CHECK(gradcheck(f, {p.logits, p.boxes}));
}

TEST_CASE("detection loss: what does not fit is named") {
  Prediction p = predicted(9);
  Objects t = truth();
  CHECK_THROWS_WITH_AS(detection_loss({}, t, 8, 8), "detection_loss: there is no prediction", ValueError);
  CHECK_THROWS_WITH_AS(detection_loss({p}, {t.boxes, tensor({{3, -1, -1}, {0, -1, -1}})}, 8, 8),
                       "detection_loss: class 3 is outside [0, 3), and not −1 for no object", IndexError);
  CHECK_THROWS_WITH_AS(detection_loss({p}, {t.boxes, tensor({0, 1})}, 8, 8),
                       "detection_loss: logits [2, 5, 3], boxes [2, 5, 4], true boxes [2, 3, 4] and classes [2] do not fit [B, P, "
                       "classes], [B, P, 4], [B, K, 4] and [B, K]",
                       ShapeError);
  Prediction few = predicted(9, 2, 1);
  CHECK_THROWS_WITH_AS(detection_loss({few}, t, 8, 8), "detection_loss: image 0 has 2 objects, more than 1 predictions", ValueError);
}
