// The mixture of experts as a feed-forward network, against every expert computed for every token.
#include "models/moe/feed_forward.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/autocast.h"
#include "engine/autograd/grad_mode.h"
#include "engine/core/parallel.h"
#include "models/optim/adam.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/models/module_gradients.h"

using namespace plumb;
using namespace plumb::moe;
using namespace plumb_test;

namespace {

constexpr int64_t kWidth = 6;

MoeFeedForward made(const MoeConfig& config, uint64_t seed = 1, DType t = f64) {
  manual_seed(seed);
  MoeFeedForward moe(kWidth, config);
  moe.to(t);
  return moe;
}

double activated(const std::string& name, double x) {
  return name == "relu" ? std::max(x, 0.0) : name == "silu" ? x / (1 + std::exp(-x)) : 0.5 * x * std::erfc(-x / std::sqrt(2.0));
}

using Vector = std::vector<double>;

// W_e x + b_e
Vector layer(const GroupedLinear& l, size_t e, const Vector& x) {
  auto w = to_vector(l.weight), b = l.bias.defined() ? to_vector(l.bias) : Vector();
  auto out = static_cast<size_t>(l.weight.size(1)), in = x.size();
  Vector y(out);
  for (size_t o = 0; o < out; ++o) {
    y[o] = b.empty() ? 0 : b[e * out + o];
    for (size_t i = 0; i < in; ++i) y[o] += w[(e * out + o) * in + i] * x[i];
  }
  return y;
}

// Σ over the pairs of the routing of weight · expert(x), in plain loops.
Tensor expected(const MoeFeedForward& moe, const MoeConfig& config, const Tensor& x, const Routing& r) {
  Vector xs = to_vector(x), weight = to_vector(r.weight), ys(xs.size());
  auto token = to_vector<int64_t>(r.token), expert = to_vector<int64_t>(r.expert);
  for (size_t a = 0; a < token.size(); ++a) {
    auto begin = xs.begin() + token[a] * kWidth;
    auto e = static_cast<size_t>(expert[a]);
    Vector row(begin, begin + kWidth), inner = layer(moe.experts.up, e, row),
                                       gate = moe.experts.gate ? layer(*moe.experts.gate, e, row) : Vector();
    for (size_t i = 0; i < inner.size(); ++i)
      inner[i] = gate.empty() ? activated(config.activation, inner[i]) : activated(config.activation, gate[i]) * inner[i];
    Vector out = layer(moe.experts.down, e, inner);
    for (size_t i = 0; i < out.size(); ++i) ys[static_cast<size_t>(token[a] * kWidth) + i] += weight[a] * out[i];
  }
  return from_vector(ys, x.shape());
}

}  // namespace

TEST_CASE("moe: each token through its own experts, plain or gated, with and without biases") {
  for (const MoeConfig& c : {MoeConfig{.experts = 5, .inner = 7, .bias = true},
                             MoeConfig{.experts = 4, .top_k = 3, .router = "sigmoid", .inner = 5, .activation = "silu", .gated = true},
                             MoeConfig{.experts = 3, .router = "expert_choice", .inner = 4, .activation = "relu"},
                             MoeConfig{.experts = 8, .top_k = 1, .router = "switch", .capacity = 0.5, .inner = 3},
                             MoeConfig{.experts = 4, .router = "random_sequence", .inner = 4, .gated = true, .bias = true}}) {
    MoeFeedForward moe = made(c);
    Tensor x = test::sample({3, 4, kWidth}, 2);
    manual_seed(9);
    Routing r = moe.router(x);
    manual_seed(9);
    CHECK(test::difference(moe(x), expected(moe, c, x, r)) < 1e-13);
  }
}

TEST_CASE("moe: a shared expert is added for every token; without inner the active width is the dense one") {
  MoeConfig c{.experts = 4, .inner = 5, .shared_inner = 3};
  MoeFeedForward moe = made(c);
  Tensor x = test::sample({3, 4, kWidth}, 2);
  CHECK(test::difference(moe(x), expected(moe, c, x, moe.router(x)) + (*moe.shared)(x)) < 1e-13);
  CHECK(MoeFeedForward(kWidth, {}).experts.up.weight.shape() == Shape{8, 12, kWidth});  // 4 · 6 / 2
}

TEST_CASE("moe: derivatives match differences, through the gate and the experts") {
  for (const MoeConfig& c :
       {MoeConfig{.experts = 3, .inner = 4, .shared_inner = 3, .bias = true},
        MoeConfig{.experts = 3, .top_k = 1, .router = "switch", .inner = 4},
        MoeConfig{.experts = 3, .router = "sigmoid", .normalize = false, .inner = 4, .activation = "silu", .gated = true},
        MoeConfig{.experts = 3, .router = "noisy", .inner = 4}, MoeConfig{.experts = 3, .router = "expert_choice", .inner = 4}}) {
    MoeFeedForward moe = made(c);
    Tensor x = test::sample({2, 3, kWidth}, 3);
    auto run = [&] {
      manual_seed(4);  // the same noise each time
      return moe(x);
    };
    INFO(c.router);
    check_module_gradients(moe, {x}, run);
  }
}

TEST_CASE("moe: no tokens, one token, and all tokens to one expert") {
  MoeFeedForward moe = made({.experts = 4, .inner = 5});
  CHECK(moe(zeros({0, 3, kWidth}, f64)).shape() == Shape{0, 3, kWidth});
  CHECK(moe(zeros({1, kWidth}, f64)).shape() == Shape{1, kWidth});
  Tensor x = test::sample({7, kWidth}, 1), one = zeros({7, 1}, i64) + 2;
  Tensor y = moe.forward(x, route_tokens(one, ones({7, 1}, f64), 4));
  sum(y).backward();
  auto slope = to_vector(moe.experts.up.weight.grad());
  for (size_t i = 0; i < slope.size(); ++i)
    if (i / (5 * kWidth) != 2) CHECK(slope[i] == 0);
  CHECK(slope[2 * 5 * kWidth] != 0);
}

TEST_CASE("moe: copies are independent, a state loads into another, any number of threads gives the same bits") {
  MoeConfig c{.experts = 4, .inner = 16, .shared_inner = 4};
  MoeFeedForward a = made(c, 1, f32), b = made(c, 2, f32), copy = a;
  Tensor x = test::sample({5, 30, kWidth}, 3, f32);
  auto run = [&](const MoeFeedForward& m) { return m(x); };
  check_state_round_trip<MoeFeedForward>(a, b, run);
  Tensor before = copy(x);
  {
    NoGrad off;
    fill_(a.experts.up.weight, 0.0);
  }
  CHECK(test::same_bits(copy(x), before));
  int threads = num_threads();
  for (int n : {1, 3}) {
    set_num_threads(n);
    CHECK(test::same_bits(copy(x), before));
  }
  set_num_threads(threads);
  CHECK_THROWS_WITH_AS(copy.forward(x, copy.router(zeros({2, kWidth}))), "moe: the routing is of 2 tokens, x is [5, 30, 6]", ShapeError);
}

TEST_CASE("moe: in 16 bits under autocast it stays near, and dropout is of the result") {
  MoeConfig c{.experts = 4, .inner = 16};
  MoeFeedForward moe = made(c, 1, f32);
  Tensor x = test::sample({20, kWidth}, 3, f32), exact = moe(x);
  {
    Autocast cast(bf16);
    Tensor y = moe(x);
    CHECK(y.dtype() == f32);
    CHECK(test::difference(y, exact) < 0.05);
    CHECK_FALSE(test::same_bits(y, exact));
  }
  c.dropout = 0.5;
  MoeFeedForward dropping = made(c, 1, f32);
  auto y = to_vector(dropping(x));
  CHECK(std::count(y.begin(), y.end(), 0.0) > 30);  // of 120
  dropping.eval();
  CHECK(test::same_bits(dropping(x), exact));
}

TEST_CASE("moe: learns a function that differs from region to region better than one expert of the same active size") {
  Tensor x = test::sample({512, 2}, 1, f32), target = unsqueeze(select(x, 1, 0), 1) * sign(unsqueeze(select(x, 1, 1), 1));
  auto left = [&](int64_t experts) {
    manual_seed(3);
    MoeFeedForward moe(2, {.experts = experts, .top_k = 1, .router = "switch", .inner = 2, .activation = "relu", .bias = true});
    optim::AdamW adamw(moe.parameters(), {.lr = 0.02, .weight_decay = 0});
    double loss = 0;
    for (int step = 0; step < 300; ++step) {
      Tensor error = mean(square(slice(moe(x), 1, 0, 1) - target));
      adamw.zero_grad();
      error.backward();
      adamw.step();
      loss = error.item();
    }
    return loss;
  };
  double one = left(1), many = left(8);
  CHECK_MESSAGE(many < 0.5 * one, one << " → " << many);
}
