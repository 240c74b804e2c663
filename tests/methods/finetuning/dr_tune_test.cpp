// DR-Tune: rotation, class centres and calibration on worked numbers, the queue, where gradients go, and the experiment.
#include "methods/finetuning/dr_tune/dr_tune.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/backward.h"
#include "engine/core/generator.h"
#include "methods/common/procrustes.h"
#include "methods/common/staged_mlp.h"
#include "methods/common/teacher.h"
#include "methods/runner.h"
#include "models/nn/linear.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/check_close.h"
#include "tests/methods/measured.h"

namespace plumb::methods::dr_tune {
Experiment experiment();
}

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::dr_tune;
using doctest::Approx;

namespace {

Tensor pretrained_rows() { return normalize(tensor({{1.0, 0.2}, {0.8, -0.1}, {0.1, 1.0}, {-0.2, 0.9}}, f64)); }
Tensor current_rows() { return normalize(tensor({{0.7, 0.7}, {0.75, 0.4}, {-0.4, 0.9}, {-0.6, 0.7}}, f64)); }
Tensor two_classes() { return tensor({0, 0, 1, 1}); }
Tensor prototypes() { return tensor({{1.0, 0.5}, {-0.3, 1.0}}, f64); }

Tensor turned(double degrees) {
  double a = degrees * M_PI / 180;
  return tensor({{std::cos(a), -std::sin(a)}, {std::sin(a), std::cos(a)}}, f64);
}

double largest_difference(const Tensor& a, const Tensor& b) { return amax(abs(to(a, f64) - to(b, f64))).item(); }

}  // namespace

TEST_CASE("dr_tune: the rotation onto the current features has its worked value") {
  check_close(cross_scatter(pretrained_rows(), current_rows()), {1.422661, -0.235798, -1.282215, 0.274514});
  Tensor r = kabsch_rotation(pretrained_rows(), current_rows());
  check_close(r, {0.851210, -0.524826, 0.524826, 0.851210});
  CHECK(std::atan2(select(select(r, 0, 1), 0, 0).item(), select(select(r, 0, 0), 0, 0).item()) * 180 / M_PI ==
        Approx(31.6565).epsilon(1e-6));
}

TEST_CASE("dr_tune: centres weigh the members that the head is sure of, and calibrated features have their worked values") {
  Tensor centers = class_weighted_centers(current_rows(), two_classes(), prototypes());
  check_close(centers, {0.796962, 0.585834, -0.523713, 0.839536});
  // The weights by themselves: of features that say which row they are.
  Tensor d = current_rows(), w = normalize(prototypes());
  for (int64_t c : {0, 1}) {
    Tensor members = narrow(d, 0, 2 * c, 2), direction = select(w, 0, c);
    double gap = matmul(select(members, 0, 0), direction).item() - matmul(select(members, 0, 1), direction).item();
    CHECK(1 / (1 + std::exp(-gap)) == Approx(c == 0 ? 0.487260 : 0.519424).epsilon(2e-6));
  }
  Triples queue{current_rows(), pretrained_rows(), two_classes()};
  check_close(calibrate(queue, prototypes(), 2.5, 0), {1.754025, 1.781403, 2.226264, 1.137431, -0.974666, 2.302178, -1.644158, 1.883280});
}

TEST_CASE("kabsch: a rotation is found again, and a reflection is not taken for one") {
  Tensor x = pretrained_rows(), y = matmul(x, mT(turned(30)));
  Tensor r = kabsch_rotation(x, y);
  CHECK(largest_difference(r, turned(30)) < 1e-10);
  CHECK(largest_difference(procrustes_align(x, y + 3), y + 3) < 1e-10);
  manual_seed(4);
  Tensor cloud = randn({30, 5}, {.dtype = f64}), mirror = diag(tensor({1.0, 1.0, 1.0, 1.0, -1.0}, f64));
  Tensor best = kabsch_rotation(cloud, matmul(cloud, mirror));
  CHECK(largest_difference(matmul(best, mT(best)), eye(5, -1, f64)) < 1e-12);
  SignAndLogDet d = slogdet(best);
  CHECK(d.sign.item() == 1);
  CHECK(std::abs(d.logabs.item()) < 1e-12);
  // More dimensions than points: still a rotation.
  Tensor few = kabsch_rotation(narrow(cloud, 0, 0, 3), narrow(cloud, 0, 5, 3));
  CHECK(largest_difference(matmul(few, mT(few)), eye(5, -1, f64)) < 1e-12);
  CHECK(slogdet(few).sign.item() == 1);
}

TEST_CASE("dr_tune: an encoder that has not moved is left as it is, but for the length of its features") {
  Tensor z = tensor({{2.0, 0.0}, {5.0, 0.0}, {0.0, 1.0}, {0.0, 3.0}}, f64), w = tensor({{4.0, 0.0}, {0.0, 0.5}}, f64);
  Tensor same = calibrate({z, z, two_classes()}, w, 1.7, 0);
  CHECK(largest_difference(same, normalize(z) * 1.7) < 1e-12);
  manual_seed(2);
  Tensor any = calibrate({randn({8, 6}), randn({8, 6}), tensor({0, 1, 2, 0, 1, 2, 0, 1})}, randn({3, 6}), 1.7, 3);
  for (double length : to_vector(norm(any, 2, {1}))) CHECK(length == Approx(1.7).epsilon(1e-6));
}

TEST_CASE("dr_tune: what is added to all turned features is taken away where classes are moved, and only there") {
  Triples queue{current_rows(), pretrained_rows(), two_classes()};
  CHECK(largest_difference(calibrate(queue, prototypes(), 2, 0, {.restore_mean = true}), calibrate(queue, prototypes(), 2, 0)) < 1e-12);
  CHECK(largest_difference(calibrate(queue, prototypes(), 2, 0, {.shift = false, .restore_mean = true}),
                           calibrate(queue, prototypes(), 2, 0, {.shift = false})) > 0.1);
}

TEST_CASE("dr_tune: features are turned in every tenth step, and moved in all") {
  Triples queue{current_rows(), pretrained_rows(), two_classes()};
  Tensor plain = pretrained_rows() * 2.0;
  CHECK(largest_difference(calibrate(queue, prototypes(), 2, 9, {.shift = false}), plain) < 1e-12);
  CHECK(largest_difference(calibrate(queue, prototypes(), 2, 0, {.rotate_every = 0, .shift = false}), plain) < 1e-12);
  CHECK(largest_difference(calibrate(queue, prototypes(), 2, 10, {.shift = false}), plain) > 0.1);
  CHECK(largest_difference(calibrate(queue, prototypes(), 2, 9), plain) > 0.1);
  // What it is for: classes then lie where the encoder puts them.
  double before = center_cosine(pretrained_rows(), current_rows(), two_classes(), 2);
  CHECK(center_cosine(calibrate(queue, prototypes(), 1, 0), current_rows(), two_classes(), 2) > 0.999);
  CHECK(before < 0.95);
}

TEST_CASE("dr_tune: the queue's rows teach the head and not the encoder") {
  manual_seed(7);
  StagedMlp net({.inputs = 6, .hidden = {8, 4}, .classes = 3});
  Tensor x = randn({5, 6}), y = tensor({0, 1, 2, 0, 1}), zc = randn({6, 4}).requires_grad_(), yc = tensor({0, 1, 2, 2, 1, 0});
  joint_loss(net.head, net.features(x), full({5}, -100, i64), zc, yc).backward();  // the encoder's own rows are not counted
  for (const Tensor& p : net.layers.parameters()) CHECK(amax(abs(p.grad())).item() == 0);
  CHECK(amax(abs(net.head.weight.grad())).item() > 1e-3);
  CHECK(!zc.grad().defined());
}

TEST_CASE("dr_tune: the joint mean is the weighted sum of both terms; without queued rows it is the cross-entropy") {
  manual_seed(8);
  nn::Linear head(4, 3, {.dtype = f64});
  Tensor z = randn({5, 4}, {.dtype = f64}), y = tensor({0, 1, 2, 0, 1}), zc = randn({7, 4}, {.dtype = f64}),
         yc = tensor({0, 1, 2, 2, 1, 0, 1});
  double own = cross_entropy(head(z), y).item(), queued = cross_entropy(head(zc), yc).item();
  CHECK(joint_loss(head, z, y, zc, yc).item() == Approx(5.0 / 12 * own + 7.0 / 12 * queued).epsilon(1e-12));
  CHECK(joint_loss(head, z, y, Tensor(), Tensor()).item() == own);
  CHECK(joint_loss(head, z, y, zeros({0, 4}, f64), zeros({0}, i64)).item() == own);
}

TEST_CASE("dr_tune: the queue keeps the newest batches, rows beside their labels") {
  AlignedQueue queue(8, 2, 12, f64);
  CHECK(queue.size() == 0);
  auto batch = [](double at) { return full({4, 2}, at, f64); };
  for (int b : {1, 2, 3}) queue.push(batch(b), batch(-b), tensor({4 * b - 4, 4 * b - 3, 4 * b - 2, 4 * b - 1}));
  CHECK(queue.full());
  Triples t = queue.read();
  CHECK(to_vector<int64_t>(t.labels) == std::vector<int64_t>{4, 5, 6, 7, 8, 9, 10, 11});
  CHECK(to_vector(select(t.current, 1, 0)) == std::vector<double>{2, 2, 2, 2, 3, 3, 3, 3});
  CHECK(to_vector(select(t.pretrained, 1, 1)) == std::vector<double>{-2, -2, -2, -2, -3, -3, -3, -3});
}

TEST_CASE("dr_tune: a class that is not queued is skipped, and one member alone is its own centre") {
  Tensor d = normalize(tensor({{1.0, 2.0}, {3.0, -1.0}, {0.5, 0.5}}, f64)), labels = tensor({0, 3, 0});
  Tensor w = tensor({{1.0, 0.0}, {0.0, 1.0}, {1.0, 1.0}, {-1.0, 2.0}}, f64);
  Tensor centers = class_weighted_centers(d, labels, w);
  CHECK(centers.shape() == Shape{4, 2});
  CHECK(largest_difference(select(centers, 0, 3), select(d, 0, 1)) < 1e-15);
  CHECK(largest_difference(narrow(centers, 0, 1, 2), zeros({2, 2}, f64)) == 0);
  Tensor calibrated = calibrate({d, narrow(pretrained_rows(), 0, 0, 3), labels}, w, 1, 0);
  CHECK(largest_difference(select(calibrated, 0, 1), select(d, 0, 1)) < 1e-12);
  CHECK(to_vector(isfinite(calibrated)) == std::vector<double>(6, 1));
}

TEST_CASE("dr_tune: a step calibrates the queue as it was before its batch") {
  manual_seed(9);
  StagedMlp net({.inputs = 6, .hidden = {8, 4}, .classes = 3});
  StagedMlp encoder = net;
  FrozenSnapshot<StagedMlp> frozen(net);
  auto features = [&](const Tensor& x) { return encoder.features(x); };
  auto before = [&](const Tensor& x) { return frozen.model().features(x); };
  AlignedQueue queue(4, 4, 3);
  Tensor x = randn({2, 6}), y = tensor({0, 2});
  CHECK(step_loss(features, before, net.head, queue, x, y, 0).item() == Approx(cross_entropy(net(x), y).item()));  // nothing queued yet
  CHECK(queue.size() == 2);
  fill(queue, before, randn({2, 6}), tensor({1, 1}));
  Triples known = queue.read();
  Tensor next = randn({2, 6}), truth = tensor({1, 0}), z = features(next);
  double wanted = joint_loss(net.head, z, truth, calibrate(known, net.head.weight, mean_norm(z), 1), known.labels).item();
  CHECK(step_loss(features, before, net.head, queue, next, truth, 1).item() == wanted);
  CHECK(to_vector<int64_t>(queue.read().labels) == std::vector<int64_t>{1, 1, 1, 0});
}

TEST_CASE("dr_tune: bad input is told by its values") {
  AlignedQueue queue(8, 2, 3);
  Tensor rows = ones({4, 2}), labels = tensor({0, 1, 2, 0});
  CHECK_THROWS_WITH_AS(queue.push(ones({3, 2}), ones({3, 2}), tensor({0, 1, 2})),
                       "dr_tune: a batch of 3 does not divide the queue's 8 places", ValueError);
  CHECK_THROWS_WITH_AS(queue.push(rows, rows, tensor({0, 1, 3, 0})), "dr_tune: label 3 is outside [0, 3)", IndexError);
  CHECK_THROWS_WITH_AS(queue.push(rows, rows, tensor({0, -1, 2, 0})), "dr_tune: label -1 is outside [0, 3)", IndexError);
  CHECK_THROWS_WITH_AS(queue.push(ones({4, 3}), rows, labels), "dr_tune: takes features [K, 2] and labels [K], got [4, 3] and [4]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(queue.push(rows, ones({4, 5}), labels), "dr_tune: takes features [K, 2] and labels [K], got [4, 5] and [4]",
                       ShapeError);
  CHECK(queue.size() == 0);
  CHECK_THROWS_WITH_AS(AlignedQueue(8, 2, 0), "dr_tune: classes must be positive, got 0", ValueError);
  CHECK_THROWS_WITH_AS(class_weighted_centers(rows, labels, tensor({{1.0, 0.0}, {0.0, 0.0}, {1.0, 1.0}})),
                       "dr_tune: the prototype of class 1 has length 0 and no direction", ValueError);
  CHECK_THROWS_WITH_AS(class_weighted_centers(rows, labels, ones({3, 4})),
                       "dr_tune: takes features [K, 4] and labels [K], got [4, 2] and [4]", ShapeError);
  CHECK_THROWS_WITH_AS(calibrate({rows, ones({4, 3}), labels}, ones({3, 2}), 1, 0),
                       "dr_tune: the current features are [4, 2], the pretrained ones [4, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(calibrate({rows, rows, labels}, ones({3, 2}), 1, 0, {.rotate_every = -1}),
                       "dr_tune: rotate_every must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(kabsch_rotation(rows, ones({4, 3})), "procrustes: takes two matrices [n, D] of one shape, got [4, 2] and [4, 3]",
                       ShapeError);
}

TEST_CASE("dr_tune: the experiment runs: everything is measured, and calibrated classes lie where the encoder puts them") {
  Results results = run_experiment({"finetuning", "dr_tune", &dr_tune::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  CHECK(results.cells.size() == dr_tune::experiment().variants.size());
  CHECK(measured(results, "DR-Tune", "test accuracy (%)") > 30);  // of five classes
  CHECK(measured(results, "DR-Tune", "cosine of class centres") > 0.98);
  CHECK(measured(results, "DR-Tune", "cosine of class centres") > measured(results, "DR, no calibration", "cosine of class centres"));
}

TEST_CASE("dr_tune: how sure the head is of other classes' rows does not touch a class's centre") {
  Tensor d = tensor({{1.0, 0.0}, {3.0, 0.0}, {5000.0, 0.0}}, f64), w = tensor({{1.0, 0.0}, {0.0, 1.0}}, f64);
  Tensor centre = class_weighted_centers(d, tensor({0, 0, 1}), w);
  double share = 1 / (1 + std::exp(2.0));  // of the first row; e^(1 − 5000) is 0
  CHECK(centre.data<double>()[0] == Approx(share + 3 * (1 - share)).epsilon(1e-12));
}
