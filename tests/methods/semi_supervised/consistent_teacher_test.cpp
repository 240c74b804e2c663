// Consistent-Teacher: worked examples A (assignment), B (mixture) and C (bounds, momentum, GIoU), FAM-3D, the loss, views and pseudo-boxes,
// and the experiment at the smoke budget.
#include "methods/semi_supervised/consistent_teacher/consistent_teacher.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "methods/runner.h"
#include "models/detection/boxes.h"
#include "ops/gradcheck.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/vision.h"
#include "tests/methods/measured.h"
#include "tests/ops/samples.h"

namespace plumb::methods::consistent_teacher {
Experiment experiment();
}

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::consistent_teacher;
using detection::Found;
using detection::Objects;

namespace {

doctest::Approx about(double v, double relative = 5e-6) { return doctest::Approx(v).epsilon(relative); }

CellsAndObjects example_a() {
  CellsAndObjects c;
  c.probabilities = tensor({{.6, .1}, {.7, .2}, {.3, .4}, {.2, .5}, {.1, .8}, {.05, .05}}, f64);
  c.boxes = tensor({{0.0, 0.0, 16.0, 18.0},
                    {1.0, 2.0, 20.0, 22.0},
                    {8.0, 6.0, 30.0, 28.0},
                    {12.0, 12.0, 34.0, 34.0},
                    {14.0, 10.0, 38.0, 36.0},
                    {40.0, 40.0, 48.0, 48.0}},
                   f64);
  c.centres = tensor({{4.0, 4.0}, {12.0, 12.0}, {20.0, 12.0}, {20.0, 20.0}, {28.0, 28.0}, {44.0, 44.0}}, f64);
  c.anchors = cat({c.centres - 8.0, c.centres + 8.0}, 1);
  c.strides.assign(6, 8.0);
  c.per_level = {6};
  c.objects = tensor({{0.0, 0.0, 20.0, 20.0}, {12.0, 10.0, 36.0, 34.0}}, f64);
  c.labels = {0, 1};
  return c;
}

using Ints = std::vector<int64_t>;

}  // namespace

TEST_CASE("consistent teacher: worked example A, costs and the dynamic assignment") {
  CellsAndObjects c = example_a();
  auto iou = to_vector(detection::pairwise_box_iou(c.boxes, c.objects));
  const double ious[5][2] = {{.72, .0384615}, {.780822, .111628}, {.234637, .440217}, {.0780488, .840278}, {.0622407, .785714}};
  const double costs[5][2] = {{.689730, 9.53876}, {.511793, 5.17479}, {3.12704, 1.76971}, {5.54690, .401684}, {8.31277, .493314}};
  for (int64_t i = 0; i < 5; ++i)
    for (int64_t g = 0; g < 2; ++g) {
      CHECK(iou[static_cast<size_t>(2 * i + g)] == about(ious[i][g]));
      CHECK(cell_cost(c, i, g).total(2) == about(costs[i][g]));
    }
  CellCost first = cell_cost(c, 0, 0);
  CHECK(first.focal == about(.0212232));
  CHECK(first.overlap == about(.328504));
  CHECK(first.centre == about(.0114990));
  Assignment a = dynamic_soft_assign(c);
  CHECK(a.object == Ints{-1, 0, -1, 1, 1, -1});  // k = (1, 2)
  CHECK(a.weight[1] == about(.780822));
  CHECK(a.weight[3] == about(.840278));
  CHECK(a.weight[4] == about(.785714));
  CHECK(a.weights() == about(.780822 + .840278 + .785714));
}

TEST_CASE("consistent teacher: assignment without objects, with far boxes, and under permutation") {
  CellsAndObjects c = example_a(), none = c, far = c, swapped = c;
  none.objects = zeros({0, 4}, f64);
  none.labels = {};
  for (const Assignment& a : {dynamic_soft_assign(none), max_iou_assign(none), atss_assign(none)}) {
    CHECK(a.object == Ints(6, -1));
    CHECK(a.weights() == 0);
  }
  far.boxes =
      full({6, 4}, 100.0, f64) + tensor({0.0, 0.0, 1.0, 1.0}, f64);  // no prediction overlaps anything: every object still has one cell
  Assignment a = dynamic_soft_assign(far);
  for (int64_t g : {0, 1}) CHECK(std::ranges::count(a.object, g) == 1);
  for (double w : a.weight) CHECK(std::isfinite(w));
  swapped.objects = flip(c.objects, {0});
  swapped.labels = {1, 0};
  Assignment b = dynamic_soft_assign(swapped), plain = dynamic_soft_assign(c);
  for (size_t i = 0; i < 6; ++i) CHECK(b.object[i] == (plain.object[i] < 0 ? plain.object[i] : 1 - plain.object[i]));
  CHECK(b.weight == plain.weight);
}

TEST_CASE("consistent teacher: a cell that two objects take goes to the one of least cost") {
  // Two objects that overlap; the middle cell is the cheapest of both, and clearly of the first object's class.
  CellsAndObjects c = example_a();
  c.objects = tensor({{0.0, 0.0, 24.0, 24.0}, {4.0, 4.0, 28.0, 28.0}}, f64);
  c.boxes =
      cat({tensor({{90.0, 90.0, 99.0, 99.0}, {1.0, 1.0, 25.0, 25.0}}, f64), full({4, 4}, 90.0, f64) + tensor({0.0, 0.0, 5.0, 5.0}, f64)});
  c.probabilities = tensor({{.1, .1}, {.9, .1}, {.1, .1}, {.1, .1}, {.1, .1}, {.1, .1}}, f64);
  REQUIRE(cell_cost(c, 1, 0).total(2) < cell_cost(c, 1, 1).total(2));
  Assignment a = dynamic_soft_assign(c);
  CHECK(a.object[1] == 0);
  CHECK(std::ranges::count(a.object, 1) == 0);  // it is not given another one
}

TEST_CASE("consistent teacher: the static rules assign by the IoU of anchors") {
  CellsAndObjects c = example_a();
  Assignment a = max_iou_assign(c);
  auto iou = to_vector(detection::pairwise_box_iou(c.anchors, c.objects));
  std::vector<double> best(2);
  for (size_t i = 0; i < 6; ++i)
    for (size_t g = 0; g < 2; ++g) best[g] = std::max(best[g], iou[2 * i + g]);
  for (size_t i = 0; i < 6; ++i) {
    size_t g = iou[2 * i + 1] > iou[2 * i] ? 1 : 0;
    double most = iou[2 * i + g];
    bool forced = iou[2 * i] == best[0] || iou[2 * i + 1] == best[1];
    CHECK((a.object[i] >= 0) == (most >= 0.5 || forced));
    if (!forced) CHECK((a.object[i] == Assignment::kIgnored) == (most >= 0.4 && most < 0.5));
    CHECK(a.weight[i] == (a.object[i] >= 0 ? 1 : 0));
  }
  // ATSS on one level: the threshold of each object is the mean and standard deviation of all six IoUs.
  Assignment b = atss_assign(c);
  for (size_t g = 0; g < 2; ++g) {
    double mean = 0, square = 0;
    for (size_t i = 0; i < 6; ++i) mean += iou[2 * i + g] / 6;
    for (size_t i = 0; i < 6; ++i) square += (iou[2 * i + g] - mean) * (iou[2 * i + g] - mean) / 5;
    for (size_t i = 0; i < 6; ++i)
      if (b.object[i] == static_cast<int64_t>(g)) CHECK(iou[2 * i + g] >= mean + std::sqrt(square));
    CHECK(std::ranges::count(b.object, static_cast<int64_t>(g)) >= 1);
  }
}

TEST_CASE("consistent teacher: worked example B, the mixture and its thresholds") {
  const std::vector<double> x{.08, .10, .12, .15, .18, .20, .55, .60, .62, .65, .80};
  for (MixtureRule rule : {MixtureRule{}, MixtureRule{.start_variance = 1, .tolerance = 1e-6}}) {
    GaussianMixture1D m = GaussianMixture1D::fit(x, rule);
    CHECK(m.mean[0] == about(.138333));
    CHECK(m.mean[1] == about(.644000));
    CHECK(std::sqrt(m.variance[0]) == about(.0426015));
    CHECK(std::sqrt(m.variance[1]) == about(.0845284));
    CHECK(m.weight[0] == about(.545454));
    CHECK(m.weight[1] == about(.454546));
    CHECK(mixture_threshold(x, ThresholdPolicy::high, rule) == .65);
    CHECK(mixture_threshold(x, ThresholdPolicy::middle, rule) == .55);
  }
  GaussianMixture1D halted = GaussianMixture1D::fit(x, MixtureRule::published());
  CHECK(halted.iterations == 3);
  CHECK(halted.mean[0] == about(.342082));
  CHECK(halted.mean[1] == about(.395643));
  CHECK(std::sqrt(halted.variance[0]) == about(.254257));
  CHECK(std::sqrt(halted.variance[1]) == about(.263261));
  CHECK(halted.weight[0] == about(.512704));
  CHECK(mixture_threshold(x, ThresholdPolicy::high, MixtureRule::published()) == .55);
}

TEST_CASE("consistent teacher: thresholds of each class from a buffer of recent scores") {
  ScoreThreshold t(2, 5);
  CHECK(t.update({0, 0, 0}, {.9, .1, .2}) == std::vector<double>{0, 0});  // fewer than four
  std::vector<double> least = t.update({0, 0, 0, 0}, {.15, .85, .8, 0});  // a score of 0 is not noted
  CHECK(std::vector<double>(t.scores(0).begin(), t.scores(0).end()) == std::vector<double>{.8, .85, .15, .2, .1});  // .9 is gone
  CHECK(least[0] == mixture_threshold({.8, .85, .15, .2, .1}));
  CHECK(least[0] >= .8);
  CHECK(least[1] == 0);
  CHECK_THROWS_WITH_AS(ScoreThreshold(0), "score_threshold: needs at least one class, not 0", ValueError);
  CHECK_THROWS_WITH_AS(ScoreThreshold(3, 0), "score_threshold: the capacity must be at least 1, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(t.update({2}, {.5}), "score_threshold: class 2 is outside [0, 2)", IndexError);
  CHECK_THROWS_WITH_AS(t.update({1, 1}, {.5}), "score_threshold: 2 classes for 1 scores", ShapeError);
  CHECK_THROWS_WITH_AS(GaussianMixture1D::fit({}), "gaussian_mixture: there are no numbers to fit", ValueError);
}

TEST_CASE("consistent teacher: worked example C, bounds, momentum and GIoU") {
  CHECK(expected_count_bound({.9, .7, .5, .3, .2, .1}) == doctest::Approx(.29999).epsilon(1e-9));
  CHECK(expected_count_bound({.1, .9, .3, .7, .2, .5}) == doctest::Approx(.29999).epsilon(1e-9));
  CHECK(expected_count_bound({.9, .8}) == doctest::Approx(.8 - 1e-5));  // never fewer than one in place
  CHECK(std::isinf(expected_count_bound({})));
  CHECK(teacher_momentum(0) == 0);
  CHECK(teacher_momentum(1) == .5);
  CHECK(teacher_momentum(9) == doctest::Approx(.9).epsilon(1e-12));
  CHECK(teacher_momentum(1999) == doctest::Approx(.9995).epsilon(1e-12));
  CHECK(teacher_momentum(100'000) == .9995);
  auto giou = [](const Tensor& a, const Tensor& b) { return detection::generalized_box_iou(a, b).item(); };
  CHECK(giou(tensor({0.0, 0.0, 16.0, 18.0}, f64), tensor({0.0, 0.0, 20.0, 20.0}, f64)) == about(.72));
  CHECK(giou(tensor({0.0, 0.0, 1.0, 1.0}, f64), tensor({2.0, 0.0, 3.0, 1.0}, f64)) == about(-.333333));
}

namespace {

std::vector<Tensor> levels(uint64_t seed, int64_t channels, double low = -1, double high = 1) {
  return {test::sample({2, channels, 4, 6}, seed, f64, low, high), test::sample({2, channels, 2, 3}, seed + 1, f64, low, high)};
}
std::vector<Tensor> constant_levels(int64_t channels, double value) {
  return {full({2, channels, 4, 6}, value, f64), full({2, channels, 2, 3}, value, f64)};
}
const std::vector<double> kStrides{8, 16};

}  // namespace

TEST_CASE("consistent teacher: FAM-3D with zero offsets is the identity; δ = 1 gives the upper level in this level's units") {
  std::vector<Tensor> boxes = levels(1, 4, 0, 5), same = align_boxes(boxes, kStrides, constant_levels(4, 0), constant_levels(8, 0));
  for (size_t l : {0u, 1u}) CHECK(test::difference(same[l], boxes[l]) < 1e-12);
  std::vector<Tensor> upper = align_boxes(boxes, kStrides, constant_levels(4, 1), constant_levels(8, 0));
  Tensor wanted = interpolate(boxes[1], {.size = Size2(4, 6), .mode = Interpolation::linear}) * 2.0;
  CHECK(test::difference(upper[0], wanted) < 1e-12);
  CHECK(test::difference(upper[1], boxes[1]) < 1e-12);  // nothing is above the coarsest level
  std::vector<Tensor> lower = align_boxes(boxes, kStrides, constant_levels(4, -1), constant_levels(8, 0));
  CHECK(test::difference(lower[1], interpolate(boxes[0], {.size = Size2(2, 3), .mode = Interpolation::linear}) * 0.5) < 1e-12);
  CHECK(test::difference(lower[0], boxes[0]) < 1e-12);
}

TEST_CASE("consistent teacher: a box side is read at its own moved place, zero outside") {
  std::vector<Tensor> boxes = levels(3, 4, 1, 5), planes = constant_levels(8, 0);
  Tensor right = narrow(planes[0], 1, 5, 1), down = narrow(planes[0], 1, 0, 1);  // side 2 moves by dx = 1, side 0 by dy = 1.5
  fill_(right, 1.0);
  fill_(down, 1.5);
  std::vector<Tensor> moved = align_boxes(boxes, kStrides, constant_levels(4, 0), planes);
  auto at = [](const Tensor& x, int64_t side, int64_t y, int64_t column) {
    return select(select(select(select(x, 0, 1), 0, side), 0, y), 0, column).item();
  };
  CHECK(at(moved[0], 2, 1, 2) == doctest::Approx(at(boxes[0], 2, 1, 3)).epsilon(1e-12));
  CHECK(at(moved[0], 2, 1, 5) == doctest::Approx(0));
  CHECK(at(moved[0], 0, 1, 2) == doctest::Approx((at(boxes[0], 0, 2, 2) + at(boxes[0], 0, 3, 2)) / 2).epsilon(1e-12));
  CHECK(at(moved[0], 1, 1, 2) == doctest::Approx(at(boxes[0], 1, 1, 2)).epsilon(1e-12));
  CHECK(at(moved[0], 3, 3, 5) == doctest::Approx(at(boxes[0], 3, 3, 5)).epsilon(1e-12));
}

TEST_CASE("consistent teacher: shares of levels") {
  LevelShares a = level_shares(tensor({-.3, 1.7}, f64), false, false);
  CHECK(to_vector(a.current)[0] == about(.7));
  CHECK(to_vector(a.upper)[0] == 0);
  CHECK(to_vector(a.lower)[0] == about(.3));
  CHECK(to_vector(a.current)[1] == 0);
  CHECK(to_vector(a.upper)[1] == 1);
  CHECK(to_vector(a.lower)[1] == 0);
  CHECK(to_vector(level_shares(tensor({-.3}, f64), true, false).lower)[0] == 0);
  CHECK(to_vector(level_shares(tensor({.3}, f64), false, true).upper)[0] == 0);
}

TEST_CASE("consistent teacher: gradients of FAM-3D") {
  std::vector<Tensor> boxes = levels(5, 4, 0, 5);
  // Offsets away from whole places and from the ends of their ranges, where bilinear reading and clamping have kinks.
  std::vector<Tensor> shares{test::sample({2, 4, 4, 6}, 7, f64, .2, .8), test::sample({2, 4, 2, 3}, 8, f64, -.8, -.2)},
      planes = levels(9, 8, .1, .4);
  auto f = [](const std::vector<Tensor>& x) { return align_boxes({x[0], x[1]}, kStrides, {x[2], x[3]}, {x[4], x[5]}); };
  GradcheckResult r = gradcheck(f, {boxes[0], boxes[1], shares[0], shares[1], planes[0], planes[1]});
  CHECK_MESSAGE(r.passed, r.message);
  CHECK_THROWS_WITH_AS(
      align_boxes(boxes, kStrides, shares, shares),
      "align_boxes: boxes [2, 4, 4, 6], level offsets [2, 4, 4, 6] and plane offsets [2, 4, 4, 6] of level 0 do not fit [B, 4, H, W], "
      "the same and [B, 8, H, W]",
      ShapeError);
}

TEST_CASE("consistent teacher: a fresh Fam3d hardly moves boxes") {
  manual_seed(1);
  Fam3d fam(6, 4);
  std::vector<Tensor> features{randn({1, 6, 4, 6}), randn({1, 6, 2, 3})}, boxes{rand({1, 4, 4, 6}), rand({1, 4, 2, 3})};
  std::vector<Tensor> moved = fam(features, boxes, kStrides);
  for (size_t l : {0u, 1u}) CHECK(test::difference(moved[l], boxes[l]) < 0.1);
}

TEST_CASE("consistent teacher: the focal loss of probabilities by hand, finite where a probability is 0 or 1") {
  Tensor p = tensor({.9, .2, .5}, f64), t = tensor({1.0, 0.0, 1.0}, f64);
  double wanted = .25 * .01 * -std::log(.9) + .75 * .04 * -std::log(.8) + .25 * .25 * -std::log(.5);
  CHECK(focal_loss_of_probabilities(p, t).item() == about(wanted));
  CHECK(focal_loss_of_probabilities(p, t, tensor({1.0, 0.0, 1.0}, f64)).item() == about(wanted - .75 * .04 * -std::log(.8)));
  Tensor ends = tensor({0.0, 1.0}).requires_grad_();
  Tensor loss = focal_loss_of_probabilities(ends, tensor({1.0, 0.0}));
  loss.backward();
  CHECK(std::isfinite(loss.item()));
  for (double g : to_vector(ends.grad())) CHECK(std::isfinite(g));
  CHECK_THROWS_WITH_AS(focal_loss_of_probabilities(p, zeros({2}, f64)), "focal_loss: probabilities [3] and targets [2] differ", ShapeError);
}

namespace {

DenseOutput output_of(const CellsAndObjects& c) {
  DenseOutput out;
  out.probabilities = unsqueeze(c.probabilities, 0);
  out.boxes = unsqueeze(c.boxes, 0);
  out.anchors = c.anchors, out.centres = c.centres, out.strides = c.strides, out.per_level = c.per_level;
  return out;
}
Assignment soft(const CellsAndObjects& c) { return dynamic_soft_assign(c); }

}  // namespace

TEST_CASE("consistent teacher: the loss divides by the sum of weights, and weighs GIoU by them") {
  CellsAndObjects c = example_a();
  DenseOutput out = output_of(c);
  out.boxes = clone(out.boxes).requires_grad_();
  Objects truth{unsqueeze(c.objects, 0), tensor({{0, 1}})};
  DenseLoss loss = dense_loss(out, truth, soft, 64, 64);
  double z = .780822 + .840278 + .785714;
  CHECK(loss.positives == 3);
  CHECK(loss.normaliser == about(z));
  auto giou = to_vector(detection::pairwise_generalized_box_iou(c.boxes, c.objects));
  double boxes = 2 * (.780822 * (1 - giou[2]) + .840278 * (1 - giou[7]) + .785714 * (1 - giou[9])) / z;
  CHECK(loss.boxes.item() == about(boxes));
  double focal = 0;
  auto p = to_vector(c.probabilities);
  const Ints object{-1, 0, -1, 1, 1, -1};
  for (size_t i = 0; i < 6; ++i)
    for (size_t k = 0; k < 2; ++k) {
      double q = p[2 * i + k];
      focal += object[i] == static_cast<int64_t>(k) ? .25 * (1 - q) * (1 - q) * -std::log(q) : .75 * q * q * -std::log(1 - q);
    }
  CHECK(loss.classes.item() == about(focal / z));
  CHECK(loss.total.item() == about(boxes + focal / z));
  loss.total.backward();
  auto g = to_vector(out.boxes.grad());
  for (size_t i : {0u, 2u, 5u})
    for (size_t e = 0; e < 4; ++e) CHECK(g[4 * i + e] == 0);
  CHECK(std::abs(g[4]) > 0);
}

TEST_CASE("consistent teacher: an image without objects is background, without NaN; ignored cells do not count") {
  CellsAndObjects c = example_a();
  DenseOutput out = output_of(c);
  out.boxes = clone(out.boxes).requires_grad_();
  DenseLoss loss = dense_loss(out, {zeros({1, 0, 4}), zeros({1, 0}, i64)}, soft, 64, 64);
  CHECK(loss.normaliser == 1);
  CHECK(loss.boxes.item() == 0);
  CHECK(loss.total.item() == about(focal_loss_of_probabilities(out.probabilities, zeros({1, 6, 2}, f64)).item()));
  loss.total.backward();
  if (out.boxes.grad().defined()) CHECK(max(abs(out.boxes.grad())).item() == 0);
  auto ignoring = [](const CellsAndObjects&) { return Assignment{Ints{-1, -2, -1, -1, -1, -1}, std::vector<double>(6)}; };
  double without = dense_loss(out, {zeros({1, 0, 4}), zeros({1, 0}, i64)}, ignoring, 64, 64).total.item();
  CHECK(without == about(loss.total.item() + .75 * (.49 * std::log(.3) + .04 * std::log(.8))));
  CHECK_THROWS_WITH_AS(dense_loss(out, {tensor({{{50.0, 50.0, 70.0, 60.0}}}), tensor({{0}})}, soft, 64, 64),
                       "dense_loss: box [50, 50, 70, 60] of image 0 reaches outside the image of 64 × 64", ValueError);
  CHECK_THROWS_WITH_AS(dense_loss(out, {tensor({{{50.0, 50.0, 40.0, 60.0}}}), tensor({{0}})}, soft, 64, 64),
                       "dense_loss: box [50, 50, 40, 60] of image 0 has no width or height", ValueError);
  CellsAndObjects flat = example_a();
  flat.objects = tensor({{0.0, 0.0, 20.0, 20.0}, {12.0, 10.0, 12.0, 34.0}}, f64);
  CHECK_THROWS_WITH_AS(dynamic_soft_assign(flat), "dynamic_soft_assign: box [12, 10, 12, 34] has no width or height", ValueError);
}

TEST_CASE("consistent teacher: the detector's cells, levels and mistakes") {
  manual_seed(2);
  DenseDetector model({});
  DenseOutput out = model(rand({2, 1, 32, 48}));
  CHECK(out.probabilities.shape() == Shape{2, 30, 3});  // 4 × 6 and 2 × 3 cells
  CHECK(out.boxes.shape() == Shape{2, 30, 4});
  CHECK(out.per_level == Ints{24, 6});
  CHECK(to_vector(select(out.centres, 0, 7)) == std::vector<double>{12, 12});
  CHECK(to_vector(select(out.anchors, 0, 7)) == std::vector<double>{4, 4, 20, 20});
  CHECK(to_vector(select(out.anchors, 0, 24)) == std::vector<double>{-8, -8, 24, 24});
  CHECK(max(abs(out.boxes - unsqueeze(out.anchors, 0))).item() < 4);  // boxes start near the anchors
  CHECK(max(out.probabilities).item() < 0.1);
  CHECK(model.num_parameters() < 200'000);
  CHECK_THROWS_WITH_AS(DenseDetector({.classes = 0}), "dense_detector: classes must be at least 1, it is 0", ConfigError);
  CHECK_THROWS_WITH_AS(model(rand({2, 1, 30, 48})),
                       "dense_detector: takes images [B, 1, H, W] with sides that are multiples of 16, got [2, 1, 30, 48]", ShapeError);
  DenseDetector copy = model;
  CHECK(to_vector(copy(ones({1, 1, 32, 32})).boxes) == to_vector(model(ones({1, 1, 32, 32})).boxes));
}

TEST_CASE("consistent teacher: what is found is above the least score, without doubles, best first") {
  CellsAndObjects c = example_a();
  std::vector<Found> found = found_boxes(output_of(c), 40, 40, {.least = 0.35, .overlap = 0.5});
  REQUIRE(found.size() == 1);
  // Class 1: .8 (cell 4), .5 (cell 3, IoU with it above ½, gone), .4 (cell 2, IoU 288/820 with cell 4); class 0: .7 (1), .6 (0, IoU above
  // ½, gone).
  auto scores = to_vector(found[0].scores);
  REQUIRE(scores.size() == 3);
  CHECK(scores[0] == about(.8));
  CHECK(scores[1] == about(.7));
  CHECK(scores[2] == about(.4));
  CHECK(to_vector<int64_t>(found[0].classes) == Ints{1, 0, 1});
  CHECK(to_vector(select(found[0].boxes, 0, 0)) == std::vector<double>{14, 10, 38, 36});
  CHECK(found_boxes(output_of(c), 40, 40, {.least = 0.35, .most = 1})[0].scores.numel() == 1);
  CHECK(found_boxes(output_of(c), 40, 40, {.least = 0.35, .per_level = 2})[0].scores.numel() == 2);
}

TEST_CASE("consistent teacher: believed boxes, by a fixed threshold or by the scores' own") {
  Found f{test::sample({6, 4}, 1), tensor({.9, .7, .5, .3, .2, .1}, f64), tensor({0, 0, 0, 0, 1, 1})};
  ScoreThreshold t(2);
  CHECK(believed_boxes({f}, t, {.fixed_threshold = .5})[0].scores.numel() == 2);
  CHECK(t.scores(0).empty());
  std::vector<Found> kept = believed_boxes({f}, t, {});
  CHECK(std::vector<double>(t.scores(0).begin(), t.scores(0).end()) == std::vector<double>{.3, .5, .7, .9});  // four are expected
  CHECK(t.scores(1).empty());
  double least = mixture_threshold({.3, .5, .7, .9});
  for (double s : to_vector(kept[0].scores)) CHECK(s > least);
}

TEST_CASE("consistent teacher: boxes follow from the weak view to the strong one") {
  Found f{tensor({{4.0, 4.0, 12.0, 10.0}}), tensor({.9}), tensor({2})};
  std::vector<BoxTransform> from{BoxTransform::mirrored(32)}, to{BoxTransform::moved(2, 1)};
  Objects o = pseudo_objects({f}, from, to, 24, 32);
  CHECK(to_vector(o.boxes) == std::vector<double>{22, 5, 30, 11});  // 32 − 12 + 2 …
  CHECK(to_vector<int64_t>(o.classes) == Ints{2});
  Objects gone = pseudo_objects({f}, from, {BoxTransform::moved(30, 0)}, 24, 32);
  CHECK(to_vector<int64_t>(gone.classes) == Ints{-1});
  Objects none = pseudo_objects({{zeros({0, 4}), zeros({0}), zeros({0}, i64)}}, from, to, 24, 32);
  CHECK(none.boxes.shape() == Shape{1, 0, 4});
  CHECK_THROWS_WITH_AS(pseudo_objects({f}, from, {}, 24, 32), "pseudo_objects: boxes of 1 images, 1 and 0 maps", ShapeError);
}

TEST_CASE("consistent teacher: views keep the size, and their maps say where things went") {
  Generator g(3);
  Tensor images = rand({4, 1, 32, 32}, {.generator = &g});
  for (const View& v : {weak_view(images, g), labelled_view(images, g), strong_view(images, g)}) {
    CHECK(v.images.shape() == images.shape());
    CHECK(v.maps.size() == 4);
    CHECK(min(v.images).item() >= 0);
  }
  View weak = weak_view(images, g, {.zoom = 0});
  Tensor back = warp_images(weak.images, {weak.maps[0].inverse(), weak.maps[1].inverse(), weak.maps[2].inverse(), weak.maps[3].inverse()});
  CHECK(test::difference(back, images) < 1e-5);  // flips alone lose nothing
  CHECK(test::difference(weak_view(images, g, {.zoom = 0, .flip = 0}).images, images) < 1e-5);
}

TEST_CASE("consistent teacher: a step moves the teacher first, learns from labels alone during warm-up, and from both after it") {
  manual_seed(4);
  Generator g(4);
  DenseDetector student({});
  optim::Ema<DenseDetector> teacher(DenseDetector({}), {.decay = 0.99});
  Tensor images = rand({2, 1, 32, 32}, {.generator = &g});
  View view{images, std::vector<BoxTransform>(2)}, weak{images, std::vector<BoxTransform>(2)}, strong = weak;
  Objects truth{tensor({{{4.0, 4.0, 18.0, 20.0}}, {{8.0, 8.0, 24.0, 24.0}}}), tensor({{0}, {2}})};
  ScoreThreshold thresholds(3);
  StepOptions o{.warmup = 1, .pseudo = {.fixed_threshold = 0.0, .inference = {.least = 0.0, .most = 3}}};
  StepReport first = ssod_step(student, teacher, view, truth, weak, strong, thresholds, o, 0);
  CHECK(to_vector(teacher.model.parameters()[0]) == to_vector(student.parameters()[0]));  // momentum 0 before step 0
  CHECK(first.loss.item() == doctest::Approx(first.supervised));
  CHECK(first.unsupervised == 0);
  CHECK(first.boxes > 0);
  CHECK(first.images_with_boxes == doctest::Approx(1));
  StepReport second = ssod_step(student, teacher, view, truth, weak, strong, thresholds, o, 1);
  CHECK(second.unsupervised > 0);
  CHECK(second.loss.item() == doctest::Approx(second.supervised + 2 * second.unsupervised).epsilon(1e-5));
  o.pseudo.fixed_threshold = 0.999;  // no boxes: the background's weight
  StepReport third = ssod_step(student, teacher, view, truth, weak, strong, thresholds, o, 1);
  CHECK(third.images_with_boxes == 0);
  CHECK(third.loss.item() == doctest::Approx(third.supervised + 0.02 * third.unsupervised).epsilon(1e-5));
  third.loss.backward();
  for (const Tensor& p : teacher.model.parameters()) CHECK_FALSE(p.requires_grad());
  StepReport alone = ssod_step(student, teacher, view, truth, {}, {}, thresholds, o, 5);
  CHECK(alone.loss.item() == doctest::Approx(alone.supervised));
  View small{rand({2, 1, 16, 16}, {.generator = &g}), std::vector<BoxTransform>(2)};
  CHECK_THROWS_WITH_AS(ssod_step(student, teacher, view, truth, weak, small, thresholds, o, 1),
                       "ssod_step: labelled images [2, 1, 32, 32], weak [2, 1, 32, 32] and strong views [2, 1, 16, 16] differ", ShapeError);
  View empty{zeros({0, 1, 32, 32}), {}};
  CHECK_THROWS_WITH_AS(ssod_step(student, teacher, view, truth, empty, empty, thresholds, o, 1),
                       "ssod_step: there are no unlabelled images", ValueError);
}

TEST_CASE("consistent teacher: inconsistency counts moves within a class and boxes without a partner") {
  Found before{tensor({{0.0, 0.0, 10.0, 10.0}, {20.0, 20.0, 30.0, 30.0}, {0.0, 0.0, 9.0, 9.0}}), tensor({.9, .8, .4}), tensor({0, 1, 0})};
  Found after{tensor({{0.0, 0.0, 10.0, 8.0}, {20.0, 20.0, 30.0, 30.0}}), tensor({.7, .6}), tensor({0, 2})};
  Inconsistency change;
  change.add(before, after);
  CHECK(change.terms == 3);  // a pair with IoU 0.8, and a box of another class on either side; the one of score 0.4 does not count
  CHECK(change.mean() == about(2.2 / 3));
  Inconsistency none;
  none.add(before, before);
  CHECK(none.mean() == 0);
  CHECK(Inconsistency().mean() == 0);
}

TEST_CASE("consistent teacher: the experiment measures every variant at the smoke budget") {
  Results results =
      run_experiment({"semi_supervised", "consistent_teacher", &consistent_teacher::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  CHECK(results.cells.size() == 7);
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    double ap = measured(results, cell.variant, "AP50 (%)");
    CHECK(ap >= 0);
    CHECK(ap <= 100);
    CHECK(measured(results, cell.variant, "mAP (%)") <= ap + 1e-9);
    double change = measured(results, cell.variant, "inconsistency");
    CHECK(change >= 0);
    CHECK(change <= 1);
  }
}
