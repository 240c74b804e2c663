// Channel masks, multiplications and skipping: worked numbers, limits, invariants, mistakes.
#include "models/sparsity/channel_mask.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "models/sparsity/skipping.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::sparsity;

namespace {

Tensor outputs(const std::vector<float>& strength) { return from_vector(strength, {1, static_cast<int64_t>(strength.size())}); }
std::vector<float> mass(const std::vector<float>& strength, double r, int64_t keep = 0) {
  return to_vector<float>(activation_mass_mask(outputs(strength), r, keep));
}

MaskedConv made(Generator& g, const MaskedConvOptions& o = {}) {
  manual_seed(g.next_u64());
  MaskedConv layer(nullptr, "", 6, 8, 3, o);
  NoGrad off;
  Tensor mean = layer.norm.running_mean, variance = layer.norm.running_var, weight = layer.norm.weight, bias = layer.norm.bias;
  normal_(mean, 0, 0.3, &g), uniform_(variance, 0.5, 2, &g), uniform_(weight, 0.5, 1.5, &g), normal_(bias, 0, 0.3, &g);
  layer.eval();
  return layer;
}

}  // namespace

TEST_CASE("activation_mass_mask: the worked example") {
  const std::vector<float> c{4, 1, 3, 0, 2};
  using M = std::vector<float>;
  CHECK(mass(c, 0.5) == M{1, 0, 0, 0, 0});
  CHECK(mass(c, 0.7) == M{1, 0, 1, 0, 0});
  CHECK(mass(c, 0.92) == M{1, 0, 1, 0, 1});
  CHECK(mass(c, 1) == M{1, 1, 1, 0, 1});
  CHECK(mass(c, -1) == M{1, 1, 1, 1, 1});
  const std::vector<float> equal(5, 1.0f);
  CHECK(mass(equal, 0.5) == M{1, 1, 0, 0, 0});
  CHECK(mass(equal, 0.92) == M{1, 1, 1, 1, 0});
}

TEST_CASE("activation_mass_mask: one strong channel empties the mask, unless one is to be kept; a dead sample keeps all") {
  const std::vector<float> c{10, 0.1f, 0.1f, 0.1f, 0.1f};
  using M = std::vector<float>;
  CHECK(mass(c, 0.92) == M{0, 0, 0, 0, 0});
  CHECK(mass(c, 0.92, 1) == M{1, 0, 0, 0, 0});
  CHECK(mass(c, 0.965) == M{1, 0, 0, 0, 0});
  CHECK(mass({0, 0, 0}, 0.5) == M{1, 1, 1});
  CHECK(mass({0, 0, 0}, 1) == M{1, 1, 1});
}

TEST_CASE("activation_mass_mask: the strength of a channel is its largest size, sample by sample") {
  Tensor out = tensor({{{{1.0, -5.0}}, {{2.0, 2.0}}}, {{{0.0, 0.5}}, {{-3.0, 1.0}}}});  // [2, 2, 1, 2]
  CHECK(to_vector(channel_strength(out)) == std::vector<double>{5, 2, 0.5, 3});
  CHECK(to_vector(activation_mass_mask(out, 0.9)) == std::vector<double>{1, 0, 0, 1});
}

TEST_CASE("activation_mass_mask: a larger r keeps what a smaller one keeps") {
  Generator g(1);
  Tensor out = randn({20, 12, 3, 3}, {.generator = &g});
  Tensor before = activation_mass_mask(out, 0);
  for (double r : {0.1, 0.4, 0.7, 0.9, 0.99, 1.0}) {
    Tensor now = activation_mass_mask(out, r);
    CHECK(sum(before * (1.0 - now)).item() == 0);
    CHECK(sum(now).item() >= sum(before).item());
    before = now;
  }
}

TEST_CASE("topk_mask prunes the weakest share and what is dead; shuffled masks keep the counts") {
  using M = std::vector<double>;
  CHECK(to_vector(topk_mask(outputs({4, 1, 3, 0, 2}), 0.4)) == M{1, 0, 1, 0, 1});
  CHECK(to_vector(topk_mask(outputs({4, 1, 3, 0, 2}), 0)) == M{1, 1, 1, 0, 1});
  CHECK(to_vector(topk_mask(outputs({1, 1, 1, 1}), 0.5)) == M{1, 1, 0, 0});
  CHECK(to_vector(topk_mask(outputs({1, 2, 3, 4}), 0.49)) == M{0, 1, 1, 1});
  Generator g(2);
  Tensor mask = topk_mask(randn({50, 10}, {.generator = &g}), 0.7), drawn = shuffled_mask(mask, g);
  CHECK(to_vector(sum(drawn, {1})) == to_vector(sum(mask, {1})));
  CHECK(to_vector(drawn) != to_vector(mask));
  for (double share : to_vector(mean(drawn, {0}))) CHECK(std::abs(share - 0.3) < 0.25);
}

TEST_CASE("masks: mistakes are named") {
  Tensor x = ones({2, 3, 2, 2});
  CHECK_THROWS_WITH_AS(activation_mass_mask(x, 1.1), "activation_mass_mask: r must not exceed 1, it is 1.1", ValueError);
  CHECK_THROWS_WITH_AS(activation_mass_mask(x, 0.5, 4), "activation_mass_mask: 4 of 3 channels cannot be kept", ValueError);
  CHECK_THROWS_WITH_AS(topk_mask(x, -0.1), "topk_mask: the pruned share must lie in [0, 1], it is -0.1", ValueError);
  CHECK_THROWS_WITH_AS(mask_channels(x, ones({2, 4})), "mask_channels: a mask [2, 4] does not fit channels of [2, 3, 2, 2]", ShapeError);
  CHECK_THROWS_AS(channel_strength(ones({3})), ShapeError);
}

TEST_CASE("flops: the worked example, depthwise filters, predictors") {
  ConvCost cost{.in = 16, .out = 32, .height = 8, .width = 8, .kernel = 3};
  CHECK(cost.dense() == 294912);
  CHECK(cost.active(12, 10) == 69120);
  DynamicFlops one({cost});
  Tensor twelve = zeros({1, 32});
  for (int i = 0; i < 12; ++i) twelve.data<float>()[2 * i] = 1;
  CHECK(one.per_sample({twelve})[0] == 12 * 16 * 64 * 9);
  ConvCost depthwise{.in = 16, .out = 16, .height = 4, .width = 4, .kernel = 3, .groups = 16};
  CHECK(depthwise.dense() == 16 * 16 * 9);
  CHECK(depthwise.active(5, 5) == 5 * 16 * 9);
  ConvCost grouped{.in = 8, .out = 8, .kernel = 1, .groups = 2};
  CHECK(grouped.active(4, 6) == 4 * 3);
  cost.predicted = true;
  CHECK(cost.active(12, 10) == 69120 + 512);
  CHECK(cost.dense() == 294912);  // a dense network has no predictors
  CHECK_THROWS_AS(cost.active(33, 1), ValueError);
}

TEST_CASE("flops: a network's samples, each with its own masks, and the share that is saved") {
  ConvCost first{.in = 1, .out = 4, .height = 2, .width = 2, .kernel = 1}, second{.in = 4, .out = 3, .height = 2, .width = 2, .kernel = 1};
  DynamicFlops flops({first, second}, 10);
  CHECK(flops.dense() == 10 + 16 + 48);
  Tensor a = tensor({{1.0, 1.0, 0.0, 0.0}, {1.0, 1.0, 1.0, 1.0}}), b = tensor({{1.0, 0.0, 0.0}, {1.0, 1.0, 1.0}});
  std::vector<double> wanted{10 + 8 + 8, 74};
  CHECK(flops.per_sample({a, b}) == wanted);
  CHECK(flops.reduction({a, b}) == doctest::Approx(1 - (26 + 74) / 2.0 / 74));
  CHECK(flops.reduction({Tensor(), Tensor()}) == 0);
  CHECK_THROWS_WITH_AS(flops.per_sample({a}), "flops: 1 masks for 2 layers", ShapeError);
  CHECK_THROWS_WITH_AS(flops.per_sample({a, a}), "flops: a mask [2, 4] for 3 channels", ShapeError);
  CHECK_THROWS_WITH_AS(DynamicFlops({first, first}), "flops: layer 1 has 1 inputs, the one before 4 outputs", ShapeError);
  CHECK(mask_agreement(a, ones({2, 4})) == 0.75);
  CHECK(varying_share(a) == 0.5);
}

TEST_CASE("masked conv: a mask of ones changes no bit, one of zeros leaves nothing") {
  Generator g(3);
  MaskedConv layer = made(g);
  Tensor x = randn({4, 6, 5, 5}, {.generator = &g});
  auto dense = to_vector(layer(x, {.masking = Masking::none}));
  {
    NoGrad off;
    Tensor w = layer.predictor->linear.weight, b = layer.predictor->linear.bias;
    fill_(w, 0), fill_(b, 1);
  }
  MaskTrace trace;
  CHECK(to_vector(layer(x, {.masking = Masking::predicted, .r = -1, .targets = true}, &trace)) == dense);
  CHECK(sum(trace.target).item() == 32);  // r < 0 keeps all
  CHECK(sum(trace.mask).item() == 32);
  CHECK(to_vector(layer(x, {.masking = Masking::fixed})) == dense);
  layer.set_fixed(zeros({8}));
  CHECK(sum(abs(layer(x, {.masking = Masking::fixed}))).item() == 0);
  CHECK_THROWS_WITH_AS(layer.set_fixed(ones({3})), "masked conv: a mask [3] for 8 channels", ShapeError);
}

TEST_CASE("masked conv: a logit of 0 is not active") {
  Generator g(3);
  MaskedConv layer = made(g);
  NoGrad off;
  Tensor w = layer.predictor->linear.weight, b = layer.predictor->linear.bias;
  fill_(w, 0), fill_(b, 0);
  MaskTrace trace;
  layer(randn({2, 6, 5, 5}, {.generator = &g}), {}, &trace);
  CHECK(sum(trace.mask).item() == 0);
}

TEST_CASE("skipping: the same as multiplying by the mask, for every masking that can skip") {
  Generator g(4);
  for (auto pooled : {PooledInput::standardised, PooledInput::softmax, PooledInput::raw})
    for (int64_t embedding : {0, 24}) {
      MaskedConv layer = made(g, {.stride = 2, .predictor = {.pooled = pooled, .embedding = embedding}});
      layer.set_fixed(tensor({1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0}));
      SkippingConv skipping(layer);
      Tensor some = tensor({{1.0, 0.0, 1.0, 1.0, 0.0, 1.0}});
      for (int sample = 0; sample < 5; ++sample) {
        Tensor x = mask_channels(randn({1, 6, 7, 7}, {.generator = &g}), some);
        ActiveChannels active{index_select(x, 1, tensor({0, 2, 3, 5})), {0, 2, 3, 5}, 6};
        for (Masking masking : {Masking::none, Masking::predicted, Masking::fixed, Masking::saliency, Masking::gate}) {
          MaskedConv::Call call{.masking = masking, .density = 0.5};
          NoGrad off;
          auto wanted = to_vector(layer(x, call));
          ActiveChannels got = skipping(active, masking, 0.5);
          auto values = to_vector(got.dense());
          REQUIRE(values.size() == wanted.size());
          for (size_t i = 0; i < values.size(); ++i)
            CHECK(std::abs(values[i] - wanted[i]) <= 1e-6 * std::max(1.0, std::abs(wanted[i])) * 5);
          if (masking == Masking::fixed) CHECK(got.channels == std::vector<int64_t>{0, 2, 3, 6});
        }
      }
    }
}

TEST_CASE("skipping: nothing active before or after a layer, and what cannot be skipped") {
  Generator g(5);
  MaskedConv layer = made(g), next(nullptr, "", 8, 5, 3);
  next.eval();
  layer.set_fixed(zeros({8}));
  SkippingConv skipping(layer), after(next);
  Tensor x = randn({1, 6, 5, 5}, {.generator = &g});
  ActiveChannels nothing = skipping(ActiveChannels::of(x), Masking::fixed);
  CHECK(nothing.channels.empty());
  CHECK(nothing.x.shape() == Shape{1, 0, 5, 5});
  NoGrad off;
  auto wanted = to_vector(next(zeros({1, 8, 5, 5}), {.masking = Masking::none}));
  auto got = to_vector(after(nothing, Masking::none).dense());
  REQUIRE(got.size() == wanted.size());
  for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == doctest::Approx(wanted[i]));
  Tensor bias = randn({3}, {.generator = &g});
  CHECK(to_vector(pooled_linear(nothing, ones({3, 8}), bias)) == to_vector(bias));
  CHECK_THROWS_WITH_AS(skipping(ActiveChannels::of(x), Masking::target), "skipping: this mask is known only after the layer was computed",
                       ValueError);
  CHECK_THROWS_WITH_AS(ActiveChannels::of(ones({2, 6, 5, 5})), "skipping: takes one sample [1, C, H, W], got [2, 6, 5, 5]", ShapeError);
  CHECK_THROWS_WITH_AS(after(ActiveChannels::of(x), Masking::none), "skipping: 6 channels for a layer of 8", ShapeError);
}
