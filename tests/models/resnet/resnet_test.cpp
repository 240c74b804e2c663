// ResNet and WideResNet: names, sizes, shapes, an independent forward pass, recompute, configurations.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "models/resnet/resnet.h"
#include "models/resnet/wide_resnet.h"
#include "ops/elementary.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/models/reference.h"

using namespace plumb;
using namespace plumb::resnet;

namespace {

std::vector<std::string> names(const nn::Module& m) {
  std::vector<std::string> out;
  for (auto& p : m.named_parameters()) out.push_back(p.name);
  return out;
}
bool has(const std::vector<std::string>& all, const std::string& name) { return std::find(all.begin(), all.end(), name) != all.end(); }

// Plain loops over one image's planes, in f64.
struct Planes {
  int64_t channels, height, width;
  std::vector<double> v;
  double& at(int64_t c, int64_t y, int64_t x) { return v[static_cast<size_t>((c * height + y) * width + x)]; }
};
const double* data(const StateDict& state, const std::string& name) { return state.at(name).data<double>(); }

Planes convolved(Planes x, const Tensor& weight, int64_t stride) {
  int64_t out = weight.size(0), k = weight.size(2), pad = k / 2;
  Planes y{out, (x.height + 2 * pad - k) / stride + 1, (x.width + 2 * pad - k) / stride + 1, {}};
  y.v.assign(static_cast<size_t>(out * y.height * y.width), 0);
  const double* w = weight.data<double>();
  for (int64_t o = 0; o < out; ++o)
    for (int64_t c = 0; c < x.channels; ++c)
      for (int64_t p = 0; p < k; ++p)
        for (int64_t q = 0; q < k; ++q, ++w)
          for (int64_t r = 0; r < y.height; ++r)
            for (int64_t s = 0; s < y.width; ++s) {
              int64_t row = r * stride - pad + p, column = s * stride - pad + q;
              if (row >= 0 && row < x.height && column >= 0 && column < x.width) y.at(o, r, s) += *w * x.at(c, row, column);
            }
  return y;
}
Planes normed(Planes x, const StateDict& s, const std::string& name) {
  for (int64_t c = 0; c < x.channels; ++c)
    for (int64_t i = 0; i < x.height * x.width; ++i) {
      double& v = x.v[static_cast<size_t>(c * x.height * x.width + i)];
      v = (v - data(s, name + ".running_mean")[c]) / std::sqrt(data(s, name + ".running_var")[c] + 1e-5) * data(s, name + ".weight")[c] +
          data(s, name + ".bias")[c];
    }
  return x;
}
Planes rectified(Planes x) {
  for (double& v : x.v) v = std::max(v, 0.0);
  return x;
}
Planes pooled(Planes x) {  // 3×3, stride 2, padding 1
  Planes y{x.channels, (x.height + 2 - 3) / 2 + 1, (x.width + 2 - 3) / 2 + 1, {}};
  y.v.assign(static_cast<size_t>(y.channels * y.height * y.width), -INFINITY);
  for (int64_t c = 0; c < y.channels; ++c)
    for (int64_t r = 0; r < y.height; ++r)
      for (int64_t s = 0; s < y.width; ++s)
        for (int64_t p = 0; p < 9; ++p) {
          int64_t row = 2 * r - 1 + p / 3, column = 2 * s - 1 + p % 3;
          if (row >= 0 && row < x.height && column >= 0 && column < x.width) y.at(c, r, s) = std::max(y.at(c, r, s), x.at(c, row, column));
        }
  return y;
}
Planes sum(Planes a, const Planes& b) {
  REQUIRE(a.v.size() == b.v.size());
  for (size_t i = 0; i < a.v.size(); ++i) a.v[i] += b.v[i];
  return a;
}

// torchvision's forward pass from a state dictionary alone.
std::vector<double> reference(const ResNetConfig& c, const StateDict& s, Planes x) {
  x = rectified(normed(convolved(x, s.at("conv1.weight"), c.small_images ? 1 : 2), s, "bn1"));
  if (!c.small_images) x = pooled(x);
  for (size_t stage = 0; stage < c.blocks.size(); ++stage)
    for (int64_t b = 0; b < c.blocks[stage]; ++b) {
      std::string at = "layer" + std::to_string(stage + 1) + "." + std::to_string(b) + ".";
      int64_t stride = stage > 0 && b == 0 ? 2 : 1;
      Planes y = rectified(normed(convolved(x, s.at(at + "conv1.weight"), c.bottleneck ? 1 : stride), s, at + "bn1"));
      y = normed(convolved(y, s.at(at + "conv2.weight"), c.bottleneck ? stride : 1), s, at + "bn2");
      if (c.bottleneck) y = normed(convolved(rectified(y), s.at(at + "conv3.weight"), 1), s, at + "bn3");
      if (s.contains(at + "downsample.0.weight"))
        x = normed(convolved(x, s.at(at + "downsample.0.weight"), stride), s, at + "downsample.1");
      x = rectified(sum(y, x));
    }
  const Tensor& fc = s.at("fc.weight");
  std::vector<double> logits;
  for (int64_t o = 0; o < fc.size(0); ++o) {
    double total = data(s, "fc.bias")[o];
    for (int64_t k = 0; k < fc.size(1); ++k) {
      double mean = 0;
      for (int64_t i = 0; i < x.height * x.width; ++i) mean += x.v[static_cast<size_t>(k * x.height * x.width + i)];
      total += fc.data<double>()[o * fc.size(1) + k] * mean / static_cast<double>(x.height * x.width);
    }
    logits.push_back(total);
  }
  return logits;
}

void matches_reference(const ResNetConfig& config, int64_t side) {
  manual_seed(5);
  ResNet net(config);
  net.to(f64);
  NoGrad off;
  for (auto& [name, t] : net.named_buffers())  // statistics that are not 0 and 1
    if (is_floating(t.dtype())) {
      Tensor b = t;
      uniform_(b, 0.5, 1.5);
    }
  net.eval();
  Tensor x = randn({2, config.channels, side, side + 3}, {.dtype = f64}), y = net(x);
  int64_t size = config.channels * side * (side + 3);
  for (int64_t i = 0; i < 2; ++i) {
    Planes image{config.channels, side, side + 3, std::vector<double>(x.data<double>() + i * size, x.data<double>() + (i + 1) * size)};
    std::vector<double> expected = reference(config, net.state(), image);
    for (int64_t o = 0; o < config.classes; ++o)
      CHECK(y.data<double>()[i * config.classes + o] == doctest::Approx(expected[static_cast<size_t>(o)]).epsilon(1e-9));
  }
}

}  // namespace

TEST_CASE("resnet: sizes and names are torchvision's") {
  NoGrad off;
  ResNet small(ResNetConfig::imagenet(18));
  CHECK(small.num_parameters() == 11689512);
  std::vector<std::string> all = names(small);
  CHECK(all.size() == 62);
  CHECK(all[0] == "conv1.weight");
  CHECK(all[1] == "bn1.weight");
  for (const char* name : {"layer1.0.conv1.weight", "layer1.0.bn2.bias", "layer2.0.downsample.0.weight", "layer2.0.downsample.1.bias",
                           "layer4.1.conv2.weight", "fc.weight", "fc.bias"})
    CHECK(has(all, name));
  CHECK_FALSE(has(all, "layer1.0.downsample.0.weight"));
  CHECK(small.state().contains("layer4.1.bn2.running_var"));
  CHECK(small.state().size() == 122);
  ResNet deep(ResNetConfig::imagenet(50));
  CHECK(deep.num_parameters() == 25557032);
  CHECK(has(names(deep), "layer1.0.downsample.0.weight"));
  CHECK(has(names(deep), "layer3.5.conv3.weight"));
}

TEST_CASE("resnet: the CIFAR form has He et al.'s sizes") {
  ResNetConfig c = ResNetConfig::cifar(20);
  c.padded_shortcuts = true;
  ResNet net(c);
  CHECK(net.num_parameters() == 269722);  // 0.27 M in the paper's table 6
  CHECK(net(randn({2, 3, 32, 32})).shape() == Shape{2, 10});
  CHECK(net.features(randn({2, 3, 32, 32})).shape() == Shape{2, 64});
}

TEST_CASE("resnet: forward passes are those of plain loops") {
  SUBCASE("basic blocks, small images") { matches_reference({.blocks = {2, 1}, .width = 4, .channels = 2, .classes = 3}, 7); }
  SUBCASE("basic blocks, large images") {
    matches_reference({.small_images = false, .blocks = {1, 2}, .width = 3, .channels = 3, .classes = 2}, 17);
  }
  SUBCASE("bottlenecks") {
    matches_reference({.small_images = false, .bottleneck = true, .blocks = {1, 1}, .width = 2, .channels = 1, .classes = 2}, 12);
  }
}

TEST_CASE("resnet: convolutions start with variance 2 / fan_out, norms as one, and zero_residual starts as the identity of each stage") {
  manual_seed(3);
  ResNet net({.blocks = {1, 1}, .width = 64, .zero_residual = true});
  StateDict s = net.state();
  const Tensor& w = s.at("layer1.0.conv2.weight");
  double squares = plumb::sum(square(to(w, f64))).item();
  CHECK(squares / static_cast<double>(w.numel()) == doctest::Approx(2.0 / (64 * 9)).epsilon(0.03));  // 36,864 draws
  CHECK(s.at("layer1.0.bn1.weight").data<float>()[5] == 1);
  CHECK(s.at("layer1.0.bn2.weight").data<float>()[5] == 0);
  CHECK(s.at("layer2.0.downsample.1.weight").data<float>()[5] == 1);
}

TEST_CASE("resnet: every norm works, and a copy is independent") {
  for (const char* norm : {"batch", "group", "instance", "none"}) {
    CAPTURE(norm);
    ResNet net({.blocks = {1, 1}, .width = 8, .norm = norm, .groups = 4});
    CHECK(has(names(net), "conv1.bias") == (std::string(norm) == "none"));
    CHECK(has(names(net), "bn1.weight") == (std::string(norm) != "none"));
    cross_entropy(net(randn({4, 3, 8, 8})), zeros({4}, i64)).backward();
    for (auto& p : net.named_parameters()) CHECK_MESSAGE(p.tensor.grad().defined(), p.name);
    ResNet copy = net;
    net.eval();
    copy.eval();
    NoGrad off;
    Tensor x = randn({1, 3, 8, 8});
    float before = copy(x).data<float>()[0];
    CHECK(net(x).data<float>()[0] == before);
    for (auto& p : net.named_parameters()) {
      Tensor t = p.tensor;
      zero_(t);
    }
    CHECK(copy(x).data<float>()[0] == before);
  }
}

TEST_CASE("resnet: recomputed blocks give the same gradients and move the running statistics once") {
  auto run = [](auto make) {
    manual_seed(1);
    auto net = make();
    cross_entropy(net(randn({4, 3, 8, 8})), zeros({4}, i64)).backward();
    std::vector<float> out;
    for (auto& p : net.named_parameters())
      for (int64_t i = 0; i < p.tensor.numel(); ++i) out.push_back(contiguous_data(p.tensor.grad()).template data<float>()[i]);
    for (auto& b : net.named_buffers())
      if (b.tensor.dtype() == f32)
        for (int64_t i = 0; i < b.tensor.numel(); ++i) out.push_back(b.tensor.template data<float>()[i]);
    return out;
  };
  auto resnet = [](bool recompute) {
    return [recompute] {
      ResNet net({.blocks = {2, 1}, .width = 8});
      net.recompute = recompute;
      return net;
    };
  };
  auto wide = [](bool recompute) {
    return [recompute] {
      WideResNet net({.depth = 10, .widen = 1, .dropout = 0.2});
      net.recompute = recompute;
      return net;
    };
  };
  CHECK(run(resnet(true)) == run(resnet(false)));
  CHECK(run(wide(true)) == run(wide(false)));
}

TEST_CASE("wide resnet: sizes, names and shapes") {
  WideResNet net({.depth = 16, .widen = 4});
  CHECK(net.num_parameters() == 2748890);  // 2.7 M in the paper
  std::vector<std::string> all = names(net);
  for (const char* name :
       {"conv1.weight", "layer1.0.bn1.weight", "layer1.0.shortcut.weight", "layer2.1.conv2.weight", "bn1.bias", "fc.weight"})
    CHECK(has(all, name));
  CHECK_FALSE(has(all, "layer1.1.shortcut.weight"));
  CHECK(net(randn({2, 3, 16, 16})).shape() == Shape{2, 10});
  CHECK(WideResNet({.depth = 10, .widen = 1, .norm = "group"})(randn({1, 3, 8, 8})).shape() == Shape{1, 10});
}

TEST_CASE("resnet: configurations go to JSON and back, and bad ones are named") {
  ResNetConfig c{.bottleneck = true, .blocks = {1, 2, 3}, .width = 24, .norm = "group", .groups = 3};
  ResNetConfig d = ResNetConfig::from_json(c.to_json());
  CHECK(d.to_json() == c.to_json());
  CHECK(d.blocks == c.blocks);
  CHECK(ResNetConfig::from_json("{}").width == 16);
  CHECK_THROWS_WITH_AS(ResNetConfig::cifar(9), "--depth 9 is not 6n + 2 with n at least 1 (8, 14, 20, …)", ConfigError);
  CHECK_THROWS_WITH_AS(ResNetConfig::imagenet(19), "--depth 19 is none of 18, 34, 50, 101 and 152", ConfigError);
  CHECK_THROWS_WITH_AS(ResNet({.norm = "layer"}), "--norm layer is unknown; choose batch, group, instance or none", ConfigError);
  CHECK_THROWS_WITH_AS(ResNet({.width = 12, .norm = "group"}), "--groups 8 does not divide the 12 channels of the first stage",
                       ConfigError);
  CHECK_THROWS_WITH_AS(WideResNet({.depth = 12}), "--depth 12 is not 6n + 4 with n at least 1 (10, 16, 22, …)", ConfigError);
  CHECK_THROWS_WITH_AS(ResNetConfig::from_json("[]"), "resnet: not a JSON object", ConfigError);
  CHECK_THROWS_AS(ResNetConfig::from_json(R"({"width": "wide"})"), ConfigError);
  CHECK_THROWS_WITH_AS(ResNet({})(zeros({1, 1, 8, 8})), "resnet: takes images [B, 3, H, W], got [1, 1, 8, 8]", ShapeError);
}

TEST_CASE("resnet: logits, gradients and running statistics are those of an independent implementation") {
  StateDict expected = plumb_test::reference("resnet");
  ResNet net({.small_images = false, .blocks = {1, 2}, .width = 4, .channels = 2, .classes = 5});
  net.load_state(plumb_test::reference("resnet", "model"));
  net.eval();
  CHECK(plumb_test::largest_difference(net(expected.at("images")).detach(), expected.at("evaluated")) <
        plumb_test::rounding(expected.at("evaluated")));
  net.train();
  Tensor logits = net(expected.at("images"));
  CHECK(plumb_test::largest_difference(logits.detach(), expected.at("logits")) <
        plumb_test::rounding(expected.at("logits"), 256));  // through norms of few elements
  cross_entropy(logits, expected.at("labels")).backward();
  CHECK(plumb_test::largest_difference(net.named_parameters()[0].tensor.grad(), expected.at("gradient")) <
        plumb_test::rounding(expected.at("gradient"), 1024));
  for (const char* name : {"running_mean", "running_var"})
    CHECK(plumb_test::largest_difference(net.state().at(std::string("layer2.0.bn1.") + name), expected.at(name)) <
          plumb_test::rounding(expected.at(name), 256));
}
