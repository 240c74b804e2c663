// The segmentation U-Net: sizes, names, derivatives, learning, and intersection over union.
#include <doctest/doctest.h>

#include <cmath>

#include "models/nn/init.h"
#include "models/optim/adam.h"
#include "models/unet/segmentation.h"
#include "ops/gradcheck.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::unet;

TEST_CASE("segmentation: the standard network has the sizes and names of its reference") {
  SegmentationUnet net({.in_channels = 3, .classes = 2});
  CHECK(net.num_parameters() == 31037698);  // as that port counts with transposed convolutions
  StateDict state = net.state();
  for (const char* name : {"inc.double_conv.0.weight", "inc.double_conv.4.running_var", "down4.maxpool_conv.1.double_conv.3.weight",
                           "up1.up.weight", "up4.conv.double_conv.1.bias", "outc.conv.bias"})
    CHECK_MESSAGE(state.contains(name), name);
  CHECK(SegmentationUnet({.in_channels = 3, .classes = 2, .bilinear = true}).num_parameters() ==
        17262977 + 65);  // 17,262,977 with one class
}

TEST_CASE("segmentation: logits for every pixel, of odd sizes too") {
  manual_seed(1);
  for (bool bilinear : {false, true}) {
    SegmentationUnet net({.in_channels = 1, .classes = 3, .width = 4, .depth = 2, .bilinear = bilinear});
    CHECK(net(randn({2, 1, 9, 14})).shape() == Shape{2, 3, 9, 14});
  }
}

TEST_CASE("segmentation: derivatives agree with differences") {
  manual_seed(2);
  for (bool bilinear : {false, true}) {
    SegmentationUnet net({.in_channels = 1, .classes = 2, .width = 2, .depth = 1, .bilinear = bilinear});
    net.to(f64);
    CHECK(gradcheck([&](const std::vector<Tensor>& x) { return std::vector<Tensor>{net(x[0])}; }, {randn({2, 1, 4, 5}, {.dtype = f64})},
                    {.rtol = 1e-4}));
  }
}

TEST_CASE("segmentation: learns to find a bright square, state and configuration survive") {
  manual_seed(3);
  SegmentationConfig config{.in_channels = 1, .classes = 2, .width = 8, .depth = 2};
  SegmentationUnet net(config);
  Tensor x = rand({8, 1, 16, 16}) * 0.3, target = zeros({8, 16, 16}, i64);
  for (int64_t i = 0; i < 8; ++i) {
    Tensor square = narrow(narrow(select(select(x, 0, i), 0, 0), 0, i, 6), 1, 8 - i, 6),
           mask = narrow(narrow(select(target, 0, i), 0, i, 6), 1, 8 - i, 6);
    add_(square, 0.6);
    fill_(mask, 1);
  }
  optim::AdamW adamw(net.parameters(), {.lr = 1e-2});
  for (int i = 0; i < 30; ++i) {
    adamw.zero_grad();
    cross_entropy(movedim(net(x), 1, -1), target).backward();
    adamw.step();
  }
  auto iou = to_vector(intersection_over_union(argmax(net(x), 1), target, 2));
  CHECK(iou[0] > 0.97);
  CHECK(iou[1] > 0.9);
  SegmentationUnet other(SegmentationConfig::from_json(config.to_json()));
  other.load_state(net.state());
  net.eval(), other.eval();
  CHECK(to_vector(net(x)) == to_vector(other(x)));
  SegmentationUnet copy = net;
  CHECK(to_vector(net(x)) == to_vector(copy(x)));
}

TEST_CASE("intersection_over_union: counted by hand, NaN for a class that nobody has") {
  auto iou = to_vector(intersection_over_union(tensor({{0, 1, 1}, {2, 2, 0}}), tensor({{0, 1, 2}, {2, 2, 2}}), 4));
  CHECK(iou[0] == doctest::Approx(1.0 / 2));
  CHECK(iou[1] == doctest::Approx(1.0 / 2));
  CHECK(iou[2] == doctest::Approx(2.0 / 4));
  CHECK(std::isnan(iou[3]));
  CHECK_THROWS_WITH_AS(intersection_over_union(tensor({4}), tensor({0}), 4), "intersection_over_union: class 4 is outside [0, 4)",
                       IndexError);
  CHECK_THROWS_AS(intersection_over_union(tensor({0, 1}), tensor({0}), 4), ShapeError);
}

TEST_CASE("segmentation: what does not fit is named") {
  CHECK_THROWS_WITH_AS(SegmentationUnet({.depth = 7}), "segmentation: --depth must lie in [1, 6], it is 7", ConfigError);
  SegmentationUnet net({.in_channels = 1, .width = 2, .depth = 2});
  CHECK_THROWS_WITH_AS(net(zeros({1, 1, 3, 8})), "segmentation: takes images [B, 1, H, W] of at least 4×4, got [1, 1, 3, 8]", ShapeError);
}
