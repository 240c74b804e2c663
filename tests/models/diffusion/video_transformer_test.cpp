// The video transformer: patches and back, derivatives, conditions, early exits, errors.
#include <doctest/doctest.h>

#include "models/diffusion/video_transformer.h"
#include "models/nn/init.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "tests/models/module_gradients.h"

using namespace plumb;
using namespace plumb::diffusion;

namespace {

VideoTransformer small() {
  return VideoTransformer(
      {.channels = 2, .frames = 2, .side = 4, .patch = 2, .width = 4, .heads = 2, .blocks = 2, .inner = 6, .classes = 3});
}
void stir(nn::Module& module) {
  module.to(f64);
  for (Tensor p : module.parameters()) nn::init::normal(p, 0, 0.4);
}

}  // namespace

TEST_CASE("video transformer: at the start the velocity is the linear estimate for data of the given deviation") {
  manual_seed(1);
  VideoTransformer net = small();
  net.to(f64);
  Tensor x = test::sample({3, 2, 2, 4, 4}, 2), y = net(x, tensor({1.0, 0.5, 1e-6}, f64));
  CHECK(test::difference(select(y, 0, 0), select(x, 0, 0)) < 1e-12);                     // all noise: e itself
  CHECK(test::difference(select(y, 0, 1), select(x, 0, 1) * (0.375 / 0.3125)) < 1e-12);  // (½ − ½·¼)/(¼·¼ + ¼)
  CHECK(test::difference(select(y, 0, 2), select(x, 0, 2) * -1.0) < 1e-4);               // no noise: −x₀
}

TEST_CASE("video transformer: an output patch comes back to the place of its input patch") {
  manual_seed(3);
  VideoTransformer net({.frames = 2, .side = 4, .patch = 2, .width = 4, .heads = 1, .blocks = 1, .inner = 4, .classes = 1});
  net.to(f64);
  for (Tensor p : net.parameters()) nn::init::zeros(p);
  for (auto& [name, p] : net.named_parameters())
    if (name == "patch_in.weight" || name == "head.out.weight") nn::init::eye(p);
  // now F(x) = layer_norm of each patch
  Tensor x = test::sample({1, 1, 2, 4, 4}, 4), y = net(x, tensor({1.0}, f64)) - x;
  Tensor patch = flatten(narrow(narrow(select(x, 2, 1), 2, 2, 2), 3, 0, 2)),
         got = flatten(narrow(narrow(select(y, 2, 1), 2, 2, 2), 3, 0, 2));
  std::vector<double> p = to_vector(patch);
  double mean = (p[0] + p[1] + p[2] + p[3]) / 4, variance = 0;
  for (double v : p) variance += (v - mean) * (v - mean) / 4;
  for (size_t i = 0; i < 4; ++i) CHECK(to_vector(got)[i] == doctest::Approx((p[i] - mean) / std::sqrt(variance + 1e-5)).epsilon(1e-9));
}

TEST_CASE("video transformer: derivatives agree with differences; label and level count, and the last early exit is the answer") {
  manual_seed(5);
  VideoTransformer net = small();
  stir(net);
  Tensor x = test::sample({2, 2, 2, 4, 4}, 6), sigma = tensor({0.3, 0.8}, f64), labels = tensor({2, 0});
  plumb_test::check_module_gradients(
      net, {x}, [&] { return net(x, sigma, labels); }, 2);
  Tensor y = net(x, sigma, labels);
  CHECK(test::difference(y, net(x, sigma, tensor({1, 1}))) > 1e-4);
  CHECK(test::difference(y, net(x, sigma)) > 1e-4);
  CHECK(test::same_bits(net(x, sigma), net(x, sigma, tensor({-1, -1}))));
  VideoTransformer single(
      {.channels = 2, .frames = 2, .side = 4, .patch = 2, .width = 4, .heads = 2, .blocks = 1, .inner = 6, .classes = 3});
  stir(single);
  // of one block the early exit is all that the network adds to the linear part
  Tensor s = reshape(sigma, {2, 1, 1, 1, 1}), r = 1 - s, share = (s - r * 0.25) / (r * r * 0.25 + s * s);
  Tensor added = single(x, sigma, labels) - share * x;
  Tensor exit =
      reshape(permute(reshape(single.features(x, sigma, labels).exits[0], {2, 2, 2, 2, 2, 2, 2}), {0, 4, 1, 2, 5, 3, 6}), x.shape());
  CHECK(test::difference(exit, added) < 1e-10);
}

TEST_CASE("video transformer: sizes that make no network or do not fit are named") {
  CHECK_THROWS_WITH_AS(VideoTransformer({.side = 8, .patch = 3}), "video_transformer: patches of 3 do not divide a side of 8", ValueError);
  CHECK_THROWS_WITH_AS(VideoTransformer({.width = 10, .heads = 4}),
                       "video_transformer: the width 10 must be even and a multiple of the heads 4", ValueError);
  CHECK_THROWS_WITH_AS(small()(zeros({1, 2, 3, 4, 4}), zeros({1})), "video_transformer: takes videos [1, 2, 2, 4, 4], got [1, 2, 3, 4, 4]",
                       ShapeError);
}
