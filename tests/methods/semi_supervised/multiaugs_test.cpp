// MultiAugs: worked examples, the warp, views, which way gradients go, and the experiment at the smoke budget. (Examples A to C of maps and
// similarity also in tests/models/pose/joint_maps_test.cpp, operations on images in tests/models/augment/occlusion_test.cpp.)
#include "methods/semi_supervised/multiaugs/multiaugs.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "methods/runner.h"
#include "models/nn/conv.h"
#include "models/nn/norm.h"
#include "ops/conv.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/measured.h"
#include "tests/ops/samples.h"

namespace plumb::methods::multiaugs {
Experiment experiment();
}

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::multiaugs;

namespace {

doctest::Approx about(double v, double relative = 5e-6) { return doctest::Approx(v).epsilon(relative); }

constexpr AffineOptions kStill{.rate = 0, .scale = 0};

// A network of one layer: images [B, 1, H, W] → maps [B, 2, H / 2, W / 2].
Tensor pooled(const Tensor& x, const Tensor& weight) { return conv2d(avg_pool2d(x, 2), weight, {}, {.padding = 1}); }

Labelled labelled(const Tensor& images, int64_t joints = 2) {
  Tensor maps = test::sample({images.size(0), joints, images.size(2) / 2, images.size(3) / 2}, 5, images.dtype(), 0, 1);
  return {images, {maps, ones({images.size(0), joints})}};
}

}  // namespace

TEST_CASE("multiaugs: worked example B, the rows of a map") {
  auto theta = to_vector(AffineBatch::of({30}, {.9}).theta);
  CHECK(theta[0] == about(.779423));
  CHECK(theta[1] == about(.450000));
  CHECK(theta[2] == 0);
  CHECK(theta[3] == about(-.450000));
  CHECK(theta[4] == about(.779423));
  CHECK(theta[5] == 0);
}

TEST_CASE("multiaugs: worked example A, two views: the sum of losses, and the fusion of maps instead") {
  Tensor pred = tensor({{{{.1, .8}, {.2, 0.0}}, {{.5, .1}, {0.0, .3}}}}, f64),
         target = tensor({{{{0.0, 1.0}, {.1, 0.0}}, {{.6, .2}, {0.0, .1}}}}, f64);
  Tensor images = ones({1, 1, 4, 4}, f64), joints = zeros({1, 2, 2}, f64);
  auto run = [&](bool fuse) {
    int call = 0;
    PoseFunction f = [&](const Tensor&) { return call++ == 0 ? pred : pred * 0.5; };
    Generator g(1);
    return consistency_loss(f, images, target, joints, {.plans = {{}, {}}, .affine = kStill, .stride = 2, .fuse = fuse}, g).item();
  };
  CHECK(run(false) == about(.039375));
  CHECK(run(true) == about(.015625));
}

TEST_CASE("multiaugs: a quarter turn moves a peak to the turned place, in maps as in images") {
  Tensor map = zeros({1, 1, 8, 8}, f64), image = zeros({1, 1, 16, 16}, f64);
  Tensor peak = narrow(narrow(map, 2, 2, 1), 3, 5, 1), patch = narrow(narrow(image, 2, 4, 2), 3, 10, 2);  // place (5, 2), and its pixels
  fill_(peak, 1.0), fill_(patch, 1.0);
  AffineBatch quarter = AffineBatch::of({90}, {1});
  // The result at (x, y) shows the map at (y, −x), so the map's (u, v) is seen at (−v, u): column 7 − 2, row 5.
  Tensor turned = quarter.warp(map), turned_image = quarter.warp(image);
  for (int64_t y = 0; y < 8; ++y)
    for (int64_t x = 0; x < 8; ++x) {
      double wanted = x == 5 && y == 5 ? 1 : 0;
      CHECK(select(select(select(select(turned, 0, 0), 0, 0), 0, y), 0, x).item() == doctest::Approx(wanted).epsilon(1e-9));
    }
  CHECK(test::difference(avg_pool2d(turned_image, 2), turned) < 1e-9);
  auto joint = to_vector(quarter.joints(tensor({{{5.0, 2.0, 1.0}}}, f64), 8, 8));
  CHECK(joint[0] == doctest::Approx(5).epsilon(1e-9));
  CHECK(joint[1] == doctest::Approx(5).epsilon(1e-9));
  CHECK(joint[2] == 1);
}

TEST_CASE("multiaugs: joints follow their pixels under any map, and vanish outside") {
  Generator g(3);
  AffineBatch affine = AffineBatch::draw(6, {}, g);
  for (int64_t i = 0; i < 6; ++i) {
    // A broad bump about the joint moves with it.
    std::vector<double> v;
    for (int y = 0; y < 40; ++y)
      for (int x = 0; x < 40; ++x) v.push_back(std::exp(-((x - 17.0) * (x - 17.0) + (y - 23.0) * (y - 23.0)) / 18));
    Tensor theta = narrow(affine.theta, 0, i, 1);
    AffineBatch one{theta};
    auto moved = to_vector(one.warp(from_vector(v, {1, 1, 40, 40})));
    auto best = static_cast<int64_t>(std::ranges::max_element(moved) - moved.begin());
    auto joint = to_vector(one.joints(tensor({{{17.0, 23.0, 1.0}}}, f64), 40, 40));
    CHECK(std::abs(joint[0] - static_cast<double>(best % 40)) <= 1);
    CHECK(std::abs(joint[1] - static_cast<double>(best / 40)) <= 1);
  }
  CHECK(to_vector(AffineBatch::of({0}, {.5}).joints(tensor({{{1.0, 20.0, 1.0}}}, f64), 40, 40))[2] == 0);  // enlarged twice
}

TEST_CASE("multiaugs: drawn maps keep within their bounds") {
  Generator g(4);
  auto theta = to_vector(AffineBatch::draw(2000, {}, g).theta);
  int still = 0, cut = 0;
  for (size_t i = 0; i < theta.size(); i += 6) {
    double scale = std::hypot(theta[i], theta[i + 1]), angle = std::atan2(theta[i + 1], theta[i]) * 180 / 3.14159265358979;
    CHECK(scale >= .75 - 1e-9);
    CHECK(scale <= 1.25 + 1e-9);
    CHECK(std::abs(angle) <= 60 + 1e-6);
    still += angle == 0;
    cut += std::abs(std::abs(angle) - 60) < 1e-6;
  }
  CHECK(still > 320);  // a fifth
  CHECK(still < 480);
  CHECK(cut > 30);  // 0.8 · 4.6 %
  CHECK(cut < 130);
}

TEST_CASE("multiaugs: views by name, and what they do") {
  CHECK(plan_named("JOCO") == Plan{Op::joint_occlude, Op::cutout});
  CHECK(plan_named("JCCM") == Plan{Op::joint_cutout, Op::cutmix});
  CHECK(plan_named("JO+CO+CM") == Plan{Op::joint_occlude, Op::cutout, Op::cutmix});
  CHECK(plan_named("MU") == Plan{Op::mixup});
  CHECK(plan_named("A60").empty());
  CHECK_THROWS_WITH_AS(plan_named("JOX"), "multiaugs: view \"JOX\" is unknown; put together CO, CM, MU, JC and JO, or choose A60",
                       ValueError);
  Generator g(5);
  Tensor images = rand({3, 1, 32, 32}, {.generator = &g}) + 0.5, joints = rand({3, 4, 2}, {.generator = &g}) * 31.0;
  CHECK(to_vector(hard_view(images, joints, {}, {}, g)) == to_vector(images));
  for (const char* name : {"CO", "JC", "JOCO"}) {
    Tensor x = hard_view(images, joints, plan_named(name), OpSizes::small(), g);
    auto before = to_vector(images), after = to_vector(x);
    CHECK(std::ranges::count(after, 0.0) > 0);
    int64_t same = 0;
    for (size_t i = 0; i < after.size(); ++i) same += after[i] == before[i];
    CHECK(same > images.numel() / 2);
  }
  OpSizes bad;
  bad.joint_cutout.count = -1;
  CHECK_THROWS_WITH_AS(hard_view(images, joints, plan_named("JC"), bad, g),
                       "cut_joints: the number of boxes must not be negative, it is -1", ValueError);
}

TEST_CASE("multiaugs: without views the loss is the supervised one; an identical view in evaluation mode costs nothing") {
  manual_seed(6);
  nn::Conv2d conv(1, 2, 3, {.stride = 2, .padding = 1});
  nn::BatchNorm2d norm(2);
  PoseFunction f = [&](const Tensor& x) { return norm(conv(x)); };
  Generator g(6);
  Tensor images = rand({4, 1, 8, 8}, {.generator = &g}), others = rand({4, 1, 8, 8}, {.generator = &g});
  f(images), f(others);  // some running statistics
  norm.eval();
  Labelled l = labelled(images);
  PoseLoss plain = pose_cons_step(f, l, others, {.stride = 2}, g);
  CHECK(plain.total.item() == doctest::Approx(pose::joint_map_mse(f(images), l.target.maps, l.target.weight).item()));
  CHECK_FALSE(plain.consistency.defined());
  CHECK(plain.passes == 1);
  PoseLoss same = pose_cons_step(f, l, others, {.plans = {{}}, .affine = kStill, .stride = 2}, g);
  CHECK(same.consistency.item() < 1e-10);
  CHECK(same.total.item() == doctest::Approx(same.supervised.item()));
  CHECK(same.passes == 3);
  norm.train();
  CHECK(pose_cons_step(f, l, others, {.plans = {plan_named("CO")}, .sizes = OpSizes::small(), .stride = 2}, g).consistency.item() > 1e-6);
}

TEST_CASE("multiaugs: nothing flows into the easy view: gradients are those of the loss with its maps held") {
  Tensor images = test::sample({3, 1, 8, 8}, 1, f64, 0, 1), w = test::sample({2, 1, 3, 3}, 2, f64, -1, 1).requires_grad_();
  ConsistencyOptions o{.plans = {{}, {}}, .stride = 2};
  PoseFunction f = [&](const Tensor& x) { return pooled(x, w); };
  Generator g(7), same = g;
  PoseLoss loss = pose_cons_step(f, labelled(images), images, o, g);
  loss.consistency.backward();
  Tensor h = pooled(images, w).detach();
  Tensor joints = pose::read_joints(h, 2, pose::JointReading::plain).places;
  auto value = [&](const Tensor& weight) {
    Generator again = same;
    return consistency_loss([&](const Tensor& x) { return pooled(x, weight); }, images, h, joints, o, again).item();
  };
  auto gradient = to_vector(w.grad()), at = to_vector(w);
  for (size_t k = 0; k < at.size(); ++k) {
    auto moved = at;
    moved[k] += 1e-5;
    double up = value(from_vector(moved, w.shape()));
    moved[k] -= 2e-5;
    double down = value(from_vector(moved, w.shape()));
    CHECK(gradient[k] == doctest::Approx((up - down) / 2e-5).epsilon(1e-6));
  }
}

TEST_CASE("multiaugs: two networks learn from each other") {
  Tensor images = test::sample({3, 1, 8, 8}, 1, f64, 0, 1);
  Tensor a = test::sample({2, 1, 3, 3}, 2, f64, -1, 1).requires_grad_(), b = test::sample({2, 1, 3, 3}, 3, f64, -1, 1).requires_grad_();
  PoseFunction f1 = [&](const Tensor&x) { return pooled(x, a); }, f2 = [&](const Tensor&x) { return pooled(x, b); };
  ConsistencyOptions o{.plans = {{}}, .affine = kStill, .stride = 2};
  Generator g(8);
  Labelled l = labelled(images);
  PoseLoss loss = pose_dual_step(f1, f2, l, images, o, g);
  double first = pose::joint_map_mse(f1(images), l.target.maps).item(), second = pose::joint_map_mse(f2(images), l.target.maps).item();
  CHECK(loss.supervised.item() == doctest::Approx((first + second) / 2));
  CHECK(loss.consistency.item() == doctest::Approx(2 * pose::joint_map_mse(f1(images), f2(images)).item()));  // once each way
  CHECK(loss.passes == 6);
  loss.consistency.backward();
  CHECK(max(abs(a.grad())).item() > 0);
  // Each network's gradient is that of its own term, its partner's maps held.
  Tensor alone = a.detach();
  alone = clone(alone).requires_grad_();
  pose::joint_map_mse(pooled(images, alone), pooled(images, b).detach()).backward();
  CHECK(test::difference(a.grad(), alone.grad()) < 1e-9);
}

TEST_CASE("multiaugs: joints with low peaks can be left out, and mirror images averaged") {
  Tensor images = test::sample({1, 1, 8, 8}, 1, f64, 0, 1), h = zeros({1, 2, 4, 4}, f64), said = ones({1, 2, 4, 4}, f64);
  Tensor high = narrow(h, 1, 0, 1);
  fill_(high, 0.8);
  PoseFunction f = [&](const Tensor&) { return said; };
  Generator g(9);
  auto loss = [&](double least) {
    return consistency_loss(f, images, h, zeros({1, 2, 2}, f64), {.plans = {{}}, .affine = kStill, .stride = 2, .least_peak = least}, g)
        .item();
  };
  CHECK(loss(-1) == doctest::Approx((.5 * .04 + .5 * 1) / 2));
  CHECK(loss(.5) == doctest::Approx(.5 * .04 / 2));
  Tensor w = test::sample({2, 1, 3, 3}, 2, f64, -1, 1);
  PoseFunction net = [&](const Tensor& x) { return pooled(x, w); };
  Tensor both = flip_averaged(net, images, {1, 0});
  Tensor turned = flip(net(flip(images, {3})), {3});
  CHECK(test::difference(select(both, 1, 0), (select(net(images), 1, 0) + select(turned, 1, 1)) * 0.5) < 1e-12);
  CHECK_THROWS_WITH_AS(flip_averaged(net, images, {0}), "flip_averaged: 1 mirrored joints for maps [1, 2, 4, 4]", ShapeError);
}

TEST_CASE("multiaugs: mistakes are named") {
  Tensor w = test::sample({2, 1, 3, 3}, 2, f32, -1, 1), images = rand({2, 1, 8, 8});
  PoseFunction f = [&](const Tensor& x) { return pooled(x, w); };
  Generator g(10);
  CHECK_THROWS_WITH_AS(pose_cons_step(f, labelled(images), images, {}, g),
                       "multiaugs: images of 8 × 8 are not 4 times as large as maps of 4 × 4", ShapeError);
  Labelled none{zeros({0, 1, 8, 8}), {zeros({0, 2, 4, 4}), zeros({0, 2})}};
  CHECK_THROWS_WITH_AS(pose_cons_step(f, none, images, {.stride = 2}, g), "multiaugs: the batch is empty", ValueError);
  CHECK_THROWS_WITH_AS(pose_cons_step(f, labelled(images), zeros({0, 1, 8, 8}), {.plans = {{}}, .stride = 2}, g),
                       "multiaugs: the batch is empty", ValueError);
  CHECK_THROWS_WITH_AS(AffineBatch::of({1}, {1, 2}), "affine_batch: 1 angles and 2 scales", ShapeError);
  CHECK_THROWS_WITH_AS(AffineBatch::of({1}, {1}).warp(images), "affine_batch: [2, 1, 8, 8] under 1 maps; takes [N, C, H, W]", ShapeError);
}

TEST_CASE("multiaugs: the experiment measures every variant at the smoke budget") {
  Results results = run_experiment({"semi_supervised", "multiaugs", &multiaugs::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  CHECK(results.cells.size() == 13);
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    double found = measured(results, cell.variant, "PCK within 2 pixels (%)");
    CHECK(found >= 0);
    CHECK(found <= 100);
    CHECK(measured(results, cell.variant, "mean error (pixels)") > 0);
  }
  auto passes = [&](const char* variant) { return measured(results, variant, "batches through a network a step"); };
  CHECK(passes("supervised") == 1);
  CHECK(passes("JOCO") == 3);
  CHECK(passes("MultiAugs") == passes("JOCO×2"));
  CHECK(passes("dual JC") == 6);
}
