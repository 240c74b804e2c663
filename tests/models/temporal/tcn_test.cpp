// The temporal convolution network: against plain loops, causality, names, derivatives, learning.
#include "models/temporal/tcn.h"

#include <doctest/doctest.h>

#include <cmath>

#include "models/optim/adam.h"
#include "ops/loss.h"
#include "tests/models/module_gradients.h"
#include "tests/models/reference.h"

using namespace plumb;
using namespace plumb::temporal;
using namespace plumb_test;

namespace {

TcnConfig small() { return {.inputs = 2, .channels = {3, 3, 4}, .kernel = 3, .dropout = 0, .outputs = 2}; }

Tcn made(uint64_t seed, const TcnConfig& config = small()) {
  manual_seed(seed);
  Tcn model(config);
  model.to(f64);
  for (const auto& [name, p] : model.named_parameters()) {  // so that g is not the norm of v, nor a shortcut near 0
    Tensor parameter = p.detach();
    if (name.ends_with("weight_g") || name.ends_with("downsample.weight")) copy_data(test::sample(p.shape(), seed + 7), parameter);
  }
  return model;
}

using Channels = std::vector<std::vector<double>>;  // [channel][step]

Channels convolved(const StateDict& s, const std::string& name, const Channels& x, int64_t dilation) {
  const Tensor& v = s.at(name + ".weight_v");
  size_t out = static_cast<size_t>(v.size(0)), in = x.size(), kernel = static_cast<size_t>(v.size(2)), steps = x[0].size();
  Channels y(out, std::vector<double>(steps));
  for (size_t o = 0; o < out; ++o) {
    const double* w = v.data<double>() + o * in * kernel;
    double norm = 0;
    for (size_t i = 0; i < in * kernel; ++i) norm += w[i] * w[i];
    double scale = s.at(name + ".weight_g").data<double>()[o] / std::sqrt(norm);
    for (size_t t = 0; t < steps; ++t) {
      double sum = s.at(name + ".bias").data<double>()[o];
      for (size_t c = 0; c < in; ++c)
        for (size_t k = 0; k < kernel; ++k) {
          int64_t at = static_cast<int64_t>(t) - static_cast<int64_t>(kernel - 1 - k) * dilation;
          if (at >= 0) sum += scale * w[c * kernel + k] * x[c][static_cast<size_t>(at)];
        }
      y[o][t] = std::max(sum, 0.0);
    }
  }
  return y;
}

Channels block(const StateDict& s, const std::string& name, const Channels& x, int64_t dilation) {
  Channels y = convolved(s, name + ".conv2", convolved(s, name + ".conv1", x, dilation), dilation);
  for (size_t o = 0; o < y.size(); ++o)
    for (size_t t = 0; t < y[o].size(); ++t) {
      double shortcut = 0;
      if (s.contains(name + ".downsample.weight")) {
        shortcut = s.at(name + ".downsample.bias").data<double>()[o];
        for (size_t c = 0; c < x.size(); ++c) shortcut += s.at(name + ".downsample.weight").data<double>()[o * x.size() + c] * x[c][t];
      } else {
        shortcut = x[o][t];
      }
      y[o][t] = std::max(y[o][t] + shortcut, 0.0);
    }
  return y;
}

}  // namespace

TEST_CASE("tcn: agrees with plain loops at every step") {
  Tcn model = made(1);
  Tensor x = test::sample({1, 2, 9}, 2), y = model.every_step(x);
  Channels h(2, std::vector<double>(9));
  for (size_t c = 0; c < 2; ++c)
    for (size_t t = 0; t < 9; ++t) h[c][t] = x.data<double>()[c * 9 + t];
  StateDict s = model.state();
  for (int64_t i = 0; i < 3; ++i) h = block(s, "tcn.network." + std::to_string(i), h, int64_t{1} << i);
  REQUIRE(y.shape() == Shape{1, 9, 2});
  for (size_t t = 0; t < 9; ++t)
    for (size_t o = 0; o < 2; ++o) {
      double expected = s.at("linear.bias").data<double>()[o];
      for (size_t c = 0; c < 4; ++c) expected += s.at("linear.weight").data<double>()[o * 4 + c] * h[c][t];
      CHECK(y.data<double>()[t * 2 + o] == doctest::Approx(expected).epsilon(1e-12));
    }
  CHECK(largest_difference(model(x), select(y, 1, -1)) < 1e-12);
}

TEST_CASE("tcn: an output sees its receptive field and nothing else") {
  TcnConfig config = small();
  CHECK(config.receptive_field() == 29);
  Tcn model = made(3);
  Tensor x = test::sample({1, 2, 40}, 4), leaf = clone(x).requires_grad_();
  sum(select(model.every_step(leaf), 1, 34)).backward();
  auto slope = to_vector(sum(abs(leaf.grad()), {0, 1}));
  for (size_t t = 0; t < 40; ++t)
    if (t < 34 - 28 || t > 34) CHECK(slope[t] == 0);
  CHECK(slope[34] > 0);
}

TEST_CASE("tcn: names are the reference code's, with as many parameters") {
  TcnConfig mnist{.inputs = 1, .channels = std::vector<int64_t>(8, 25), .kernel = 7, .outputs = 10};
  Tcn model(mnist);
  // 25·7 + 2·25 for the first convolution, 25·25·7 + 2·25 for the fifteen others, 25 + 25 for the shortcut, 25·10 + 10
  CHECK(model.num_parameters() == 225 + 15 * 4425 + 50 + 260);
  StateDict s = model.state();
  CHECK(s.at("tcn.network.0.conv1.weight_g").shape() == Shape{25, 1, 1});
  CHECK(s.at("tcn.network.7.conv2.weight_v").shape() == Shape{25, 25, 7});
  CHECK(s.contains("tcn.network.0.downsample.bias"));
  CHECK_FALSE(s.contains("tcn.network.1.downsample.bias"));
  // It starts with weights that are v itself.
  const Tensor &v = s.at("tcn.network.3.conv1.weight_v"), &g = s.at("tcn.network.3.conv1.weight_g");
  CHECK(largest_difference(norm(v, 2, {1, 2}, true), g) < 1e-6);
}

TEST_CASE("tcn: derivatives agree with differences") {
  Tcn model = made(5, {.inputs = 2, .channels = {3, 3}, .kernel = 2, .dropout = 0, .outputs = 2});
  Tensor x = test::sample({2, 2, 5}, 6);
  check_module_gradients(
      model, {x}, [&] { return model.every_step(x); }, 4);
}

TEST_CASE("tcn: learns to add the two marked numbers of a sequence") {
  manual_seed(8);
  Tcn model({.inputs = 2, .channels = {12, 12, 12}, .kernel = 3, .dropout = 0, .outputs = 1});
  constexpr int64_t kExamples = 64, kSteps = 16;
  std::vector<float> values(kExamples * 2 * kSteps), sums;
  Generator g(9);
  for (size_t i = 0; i < kExamples; ++i) {
    float* x = &values[i * 2 * kSteps];
    for (size_t t = 0; t < kSteps; ++t) x[t] = static_cast<float>(g.next_double());
    size_t a = g.next_below(kSteps / 2), b = kSteps / 2 + g.next_below(kSteps / 2);
    x[kSteps + a] = x[kSteps + b] = 1;
    sums.push_back(x[a] + x[b]);
  }
  Tensor x = from_vector(values, {kExamples, 2, kSteps}), y = from_vector(sums, {kExamples, 1});
  optim::AdamW adamw(model.parameters(), {.lr = 5e-3, .weight_decay = 0});
  double before = mse_loss(model(x), y).item();
  for (int step = 0; step < 300; ++step) {
    adamw.zero_grad();
    mse_loss(model(x), y).backward();
    adamw.step();
  }
  CHECK(mse_loss(model(x), y).item() < 0.02);  // the sums' variance is 1/6
  CHECK(before > 0.1);
}

TEST_CASE("tcn: dropout in training alone; state and settings survive; what does not fit is named") {
  TcnConfig config = small();
  config.dropout = 0.3;
  Tcn a = made(1, config), b = made(2, config);
  Tensor x = test::sample({2, 2, 6}, 1);
  CHECK_FALSE(test::same_bits(a(x), a(x)));
  a.eval(), b.eval();
  check_state_round_trip<Tcn>(a, b, [&](const Tcn& m) { return m(x); });
  Tcn copy = a;
  CHECK(test::same_bits(copy(x), a(x)));
  CHECK(TcnConfig::from_json(config.to_json()).to_json() == config.to_json());
  CHECK_THROWS_WITH_AS(Tcn({.channels = {}}), "tcn: needs channels for 1 to 30 blocks, they are given for 0", ConfigError);
  CHECK_THROWS_WITH_AS(Tcn({.dropout = 1}), "tcn: dropout must lie in [0, 1), it is 1", ConfigError);
  CHECK_THROWS_WITH_AS(a(zeros({2, 3, 6}, f64)), "tcn: takes sequences [B, 2, L] of at least one step, got [2, 3, 6]", ShapeError);
}
