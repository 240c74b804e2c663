// The transformer over instances: against plain loops, attention, names, derivatives, learning.
#include "models/mil/trans_mil.h"

#include <doctest/doctest.h>

#include <cmath>

#include "models/optim/adam.h"
#include "ops/loss.h"
#include "tests/models/module_gradients.h"
#include "tests/models/reference.h"

using namespace plumb;
using namespace plumb::mil;
using namespace plumb_test;

namespace {

TransMilConfig small() { return {.inputs = 3, .width = 4, .heads = 2, .residual = 3, .dropout = 0, .classes = 2}; }

TransMil made(uint64_t seed, const TransMilConfig& config = small()) {
  manual_seed(seed);
  TransMil model(config);
  model.to(f64);
  return model;
}

using Rows = std::vector<std::vector<double>>;

std::vector<double> affine(const StateDict& s, const std::string& name, const std::vector<double>& x) {
  const Tensor& w = s.at(name + ".weight");
  std::vector<double> y(static_cast<size_t>(w.size(0)));
  for (size_t o = 0; o < y.size(); ++o) {
    if (s.contains(name + ".bias")) y[o] = s.at(name + ".bias").data<double>()[o];
    for (size_t i = 0; i < x.size(); ++i) y[o] += w.data<double>()[o * x.size() + i] * x[i];
  }
  return y;
}

std::vector<double> normed(const StateDict& s, const std::string& name, std::vector<double> x) {
  double mean = 0, variance = 0, n = static_cast<double>(x.size());
  for (double v : x) mean += v / n;
  for (double v : x) variance += (v - mean) * (v - mean) / n;
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = (x[i] - mean) / std::sqrt(variance + 1e-5) * s.at(name + ".weight").data<double>()[i] + s.at(name + ".bias").data<double>()[i];
  return x;
}

// Two heads of two numbers. `first` receives the class token's attention, [head][token].
Rows layer(const StateDict& s, const std::string& name, const Rows& x, Rows& first) {
  size_t tokens = x.size();
  Rows qkv, y = x;
  for (const auto& row : x) qkv.push_back(affine(s, name + ".attn.to_qkv", normed(s, name + ".norm", row)));
  Rows joined(tokens, std::vector<double>(4));
  first.assign(2, std::vector<double>(tokens));
  for (size_t h = 0; h < 2; ++h)
    for (size_t t = 0; t < tokens; ++t) {
      std::vector<double> weight;
      double total = 0;
      for (size_t u = 0; u < tokens; ++u) {
        double score = 0;
        for (size_t d = 0; d < 2; ++d) score += qkv[t][h * 2 + d] * qkv[u][4 + h * 2 + d];
        weight.push_back(std::exp(score / std::sqrt(2.0)));
        total += weight.back();
      }
      for (size_t d = 0; d < 2; ++d) {
        double sum = 0;
        for (size_t u = 0; u < tokens; ++u) sum += weight[u] / total * qkv[u][8 + h * 2 + d];
        for (size_t k = 0; k < 3; ++k)  // the convolution over the values of this head
          if (t + k >= 1 && t + k - 1 < tokens)
            sum += s.at(name + ".attn.res_conv.weight").data<double>()[h * 3 + k] * qkv[t + k - 1][8 + h * 2 + d];
        joined[t][h * 2 + d] = sum;
      }
      if (t == 0)
        for (size_t u = 0; u < tokens; ++u) first[h][u] = weight[u] / total;
    }
  for (size_t t = 0; t < tokens; ++t) {
    std::vector<double> out = affine(s, name + ".attn.to_out.0", joined[t]);
    for (size_t i = 0; i < 4; ++i) y[t][i] += out[i];
  }
  return y;
}

Rows positioned(const StateDict& s, const Rows& x, int64_t side) {
  Rows y = x;
  for (auto [name, kernel] : {std::pair{"pos_layer.proj", 7}, {"pos_layer.proj1", 5}, {"pos_layer.proj2", 3}})
    for (int64_t r = 0; r < side; ++r)
      for (int64_t c = 0; c < side; ++c)
        for (size_t d = 0; d < 4; ++d) {
          double sum = s.at(std::string(name) + ".bias").data<double>()[d];
          for (int64_t p = 0; p < kernel; ++p)
            for (int64_t q = 0; q < kernel; ++q) {
              int64_t row = r + p - kernel / 2, column = c + q - kernel / 2;
              if (row < 0 || row >= side || column < 0 || column >= side) continue;
              sum += s.at(std::string(name) + ".weight").data<double>()[(static_cast<int64_t>(d) * kernel + p) * kernel + q] *
                     x[static_cast<size_t>(1 + row * side + column)][d];
            }
          y[static_cast<size_t>(1 + r * side + c)][d] += sum;
        }
  return y;
}

}  // namespace

TEST_CASE("trans mil: agrees with plain loops, with and without repeated instances") {
  for (int64_t count : {1, 4, 7}) {
    TransMil model = made(1);
    StateDict s = model.state();
    Tensor bag = test::sample({1, count, 3}, 2);
    int64_t side = count == 1 ? 1 : count == 4 ? 2 : 3;
    Rows x{to_vector(s.at("cls_token"))}, attention;
    for (int64_t n = 0; n < side * side; ++n) {
      std::vector<double> h = affine(s, "_fc1.0", to_vector(select(select(bag, 0, 0), 0, n % count)));
      for (double& v : h) v = std::max(v, 0.0);
      x.push_back(h);
    }
    x = layer(s, "layer2", positioned(s, layer(s, "layer1", x, attention), side), attention);
    TransMil::Answer answer = model.answer(bag);
    std::vector<double> token = normed(s, "norm", x[0]), logits = affine(s, "_fc2", token);
    for (size_t i = 0; i < 4; ++i) CHECK(to_vector(answer.bag)[i] == doctest::Approx(token[i]).epsilon(1e-10));
    for (size_t c = 0; c < 2; ++c) CHECK(to_vector(answer.logits)[c] == doctest::Approx(logits[c]).epsilon(1e-10));
    REQUIRE(answer.attention.shape() == Shape{1, 2, count});
    for (size_t h = 0; h < 2; ++h)
      for (int64_t n = 0; n < count; ++n) {
        double expected =
            attention[h][static_cast<size_t>(1 + n)] + (n + count < side * side ? attention[h][static_cast<size_t>(1 + n + count)] : 0);
        CHECK(to_vector(answer.attention)[h * static_cast<size_t>(count) + static_cast<size_t>(n)] ==
              doctest::Approx(expected).epsilon(1e-10));
      }
  }
}

TEST_CASE("trans mil: names and sizes are those of the authors' code") {
  TransMil model({.inputs = 1024, .classes = 2});
  StateDict s = model.state();
  CHECK(s.at("layer1.attn.res_conv.weight").shape() == Shape{8, 1, 33, 1});
  CHECK(s.at("layer2.attn.to_qkv.weight").shape() == Shape{1536, 512});
  CHECK(s.at("pos_layer.proj1.weight").shape() == Shape{512, 1, 5, 5});
  for (const char* name : {"_fc1.0.bias", "cls_token", "layer1.norm.weight", "layer1.attn.to_out.0.bias", "pos_layer.proj.bias",
                           "pos_layer.proj2.weight", "norm.bias", "_fc2.weight"})
    CHECK_MESSAGE(s.contains(name), name);
  CHECK(s.size() == 25);
}

TEST_CASE("trans mil: derivatives agree with differences") {
  TransMil model = made(3);
  Tensor x = test::sample({2, 3, 3}, 4);
  check_module_gradients(
      model, {x}, [&] { return model(x); }, 4);
}

TEST_CASE("trans mil: learns which bags hold a certain instance") {
  manual_seed(5);
  TransMil model({.inputs = 2, .width = 16, .heads = 2, .residual = 3, .dropout = 0, .classes = 2});
  Tensor x = test::sample({32, 6, 2}, 8, f32, -1, 1);
  std::vector<int64_t> labels;
  for (int64_t b = 0; b < 32; ++b) {
    labels.push_back(b % 2);
    Tensor instance = select(select(x, 0, b), 0, b % 6);
    if (b % 2 == 1) copy_data(tensor({2.0, 2.0}), instance);
  }
  Tensor y = from_vector(labels);
  optim::AdamW adamw(model.parameters(), {.lr = 1e-2});
  for (int step = 0; step < 60; ++step) {
    adamw.zero_grad();
    cross_entropy(model(x), y).backward();
    adamw.step();
  }
  CHECK(to_vector<int64_t>(argmax(model(x), 1)) == labels);
}

TEST_CASE("trans mil: state and settings survive; what does not fit is named") {
  TransMil a = made(1), b = made(2);
  Tensor x = test::sample({2, 5, 3}, 1);
  check_state_round_trip<TransMil>(a, b, [&](const TransMil& m) { return m(x); });
  TransMil copy = a;
  CHECK(test::same_bits(copy(x), a(x)));
  CHECK(TransMilConfig::from_json(small().to_json()).to_json() == small().to_json());
  CHECK_THROWS_WITH_AS(TransMil({.width = 6, .heads = 4}), "trans_mil: width 6 is not a multiple of heads 4", ConfigError);
  CHECK_THROWS_WITH_AS(TransMil({.residual = 4}), "trans_mil: residual must be odd or 0, it is 4", ConfigError);
  CHECK_THROWS_WITH_AS(a(zeros({2, 0, 3}, f64)), "trans_mil: takes bags [B, N, 3] of at least one instance, got [2, 0, 3]", ShapeError);
}
