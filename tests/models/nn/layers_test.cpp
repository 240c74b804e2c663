// Layers without convolution: what they compute, what they learn, what they refuse.
#include <doctest/doctest.h>

#include <cmath>

#include "models/nn/activation.h"
#include "models/nn/attention.h"
#include "models/nn/containers.h"
#include "models/nn/dropout.h"
#include "models/nn/embedding.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"
#include "models/optim/adam.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using Numbers = std::vector<double>;
using doctest::Approx;

static Tensor waves(const Shape& shape, double phase = 0, DType dtype = f32) {
  Numbers v(static_cast<size_t>(numel(shape)));
  for (size_t i = 0; i < v.size(); ++i) v[i] = std::sin(1.3 * static_cast<double>(i * i % 97) + phase);
  Tensor t = empty(shape, dtype);
  copy_data(from_vector(v, shape), t);
  return t;
}

TEST_CASE("linear: x Wᵀ + b over the last dimension, gradients to both") {
  nn::Linear layer(3, 2, {.dtype = f64});
  Tensor x = waves({4, 5, 3}, 1, f64), y = layer(x);
  CHECK(y.shape() == Shape{4, 5, 2});
  Numbers in = to_vector(x), w = to_vector(layer.weight), b = to_vector(layer.bias), out = to_vector(y);
  for (size_t r = 0; r < 20; ++r)
    for (size_t o = 0; o < 2; ++o)
      CHECK(out[r * 2 + o] == Approx(b[o] + w[o * 3] * in[r * 3] + w[o * 3 + 1] * in[r * 3 + 1] + w[o * 3 + 2] * in[r * 3 + 2]));
  sum(y).backward();
  CHECK(to_vector(layer.bias.grad()) == Numbers{20, 20});
  CHECK(layer.weight.grad().shape() == Shape{2, 3});
}

TEST_CASE("embedding: rows by index; the padding row is zero and stays it") {
  nn::Embedding layer(5, 3, {.padding_idx = 2});
  Tensor y = layer(tensor({{0, 2}, {4, 2}}));
  CHECK(y.shape() == Shape{2, 2, 3});
  CHECK(to_vector(select(select(y, 0, 1), 0, 0)) == to_vector(select(layer.weight, 0, 4)));
  CHECK(to_vector(select(layer.weight, 0, 2)) == Numbers{0, 0, 0});
  sum(y).backward();
  CHECK(to_vector(layer.weight.grad()) == Numbers{1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1});
  CHECK_THROWS_AS(nn::Embedding(0, 3), ValueError);
  CHECK_THROWS_AS(nn::Embedding(4, 3, {.padding_idx = 4}), ValueError);
}

TEST_CASE("layer norm, RMS norm: normalise the last dimension, then scale") {
  nn::LayerNorm layer(Shape{8}, {.dtype = f64});
  nn::RMSNorm rms(8, {.dtype = f64});
  Tensor x = waves({3, 8}, 2, f64);
  Numbers in = to_vector(x), a = to_vector(layer(x)), b = to_vector(rms(x));
  for (size_t r = 0; r < 3; ++r) {
    double mean = 0, square = 0;
    for (size_t i = 0; i < 8; ++i) {
      mean += in[r * 8 + i] / 8;
      square += in[r * 8 + i] * in[r * 8 + i] / 8;
    }
    for (size_t i = 0; i < 8; ++i) {
      CHECK(a[r * 8 + i] == Approx((in[r * 8 + i] - mean) / std::sqrt(square - mean * mean + 1e-5)));
      CHECK(b[r * 8 + i] == Approx(in[r * 8 + i] / std::sqrt(square + 1e-6)));
    }
  }
  CHECK(layer.named_parameters().size() == 2);
  CHECK(nn::LayerNorm(Shape{8}, {.bias = false}).named_parameters().size() == 1);
  CHECK(nn::LayerNorm(Shape{8}, {.affine = false}).named_parameters().empty());
}

TEST_CASE("dropout: only in training mode, and the mode comes from the model around it") {
  nn::Sequential net(nn::Linear(4, 100), nn::Dropout(0.5));
  Tensor x = ones({2, 4});
  CHECK(to_vector(net(x)) != to_vector(net(x)));
  net.eval();
  CHECK(to_vector(net(x)) == to_vector(net(x)));
  CHECK(to_vector(net(x)) == to_vector(net.at<nn::Linear>(0)(x)));
}

TEST_CASE("activations: as modules they are their functions") {
  Tensor x = waves({3, 4}) * 3.0;
  CHECK(to_vector(nn::ReLU()(x)) == to_vector(relu(x)));
  CHECK(to_vector(nn::LeakyReLU(0.2)(x)) == to_vector(leaky_relu(x, 0.2)));
  CHECK(to_vector(nn::ELU(0.5)(x)) == to_vector(elu(x, 0.5)));
  CHECK(to_vector(nn::GELU(GeluForm::tanh)(x)) == to_vector(gelu(x, GeluForm::tanh)));
  CHECK(to_vector(nn::Softplus(2, 5)(x)) == to_vector(softplus(x, 2, 5)));
  CHECK(to_vector(nn::Hardtanh(-0.5, 0.25)(x)) == to_vector(hardtanh(x, -0.5, 0.25)));
  CHECK(max(abs(nn::Softmax(0)(x) - exp(nn::LogSoftmax(0)(x)))).item() < 1e-6);
  CHECK(nn::Identity()(x).same_as(x));
  CHECK(nn::Flatten()(ones({2, 3, 4})).shape() == Shape{2, 12});
  nn::Sequential net{nn::Flatten(), nn::Tanh(), nn::Sigmoid()};
  CHECK(net.parameters().empty());
  CHECK(to_vector(net(x)) == to_vector(sigmoid(tanh(x))));
  struct Holder : nn::Module {
    nn::SiLU act{this, "act"};
    nn::PReLU prelu{this, "prelu", 3};
  } holder, copy = holder;
  CHECK(copy.named_children().size() == 2);
  CHECK(copy.num_parameters() == 3);
}

TEST_CASE("prelu: one slope a channel, learned") {
  nn::PReLU layer(2, 0.5);
  copy_data(tensor({0.5, 0.25}), layer.weight);
  Tensor x = tensor({{{-4.0, 3.0}, {-4.0, 3.0}}});
  Tensor y = layer(x);
  CHECK(to_vector(y) == Numbers{-2, 3, -1, 3});
  sum(y).backward();
  CHECK(to_vector(layer.weight.grad()) == Numbers{-4, -4});
  CHECK_THROWS_WITH_AS(layer(ones({4, 3})), "prelu: there are 2 channels, x is [4, 3]", ShapeError);
}

namespace {

// softmax(q kᵀ/√d) v of one example, head by head, in plain loops. kv_heads may be fewer.
Numbers plain_attention(const nn::MultiheadAttention& m, const Tensor& x, const Tensor& c, size_t heads, size_t kv_heads, bool causal) {
  auto project = [](const nn::Linear& l, const Tensor& t) { return to_vector(l(t)); };
  size_t T = static_cast<size_t>(x.size(1)), S = static_cast<size_t>(c.size(1)), width = static_cast<size_t>(x.size(2)), d = width / heads,
         kv = kv_heads * d;
  Numbers q = project(m.query, x), k = project(m.key, c), v = project(m.value, c), mixed(T * width);
  for (size_t h = 0; h < heads; ++h)
    for (size_t t = 0; t < T; ++t) {
      size_t group = h / (heads / kv_heads), seen = causal ? t + 1 : S;
      Numbers weight(seen);
      double total = 0;
      for (size_t s = 0; s < seen; ++s) {
        double score = 0;
        for (size_t i = 0; i < d; ++i) score += q[t * width + h * d + i] * k[s * kv + group * d + i];
        total += weight[s] = std::exp(score / std::sqrt(static_cast<double>(d)));
      }
      for (size_t s = 0; s < seen; ++s)
        for (size_t i = 0; i < d; ++i) mixed[t * width + h * d + i] += weight[s] / total * v[s * kv + group * d + i];
    }
  return to_vector(m.out(from_vector(mixed, {1, x.size(1), x.size(2)})));
}

}  // namespace

TEST_CASE("attention: self, causal, cross and grouped-query match plain loops") {
  nn::MultiheadAttention full(12, 4, {.dtype = f64}), grouped(12, 4, {.key_value_heads = 2, .bias = false, .dtype = f64}),
      cross(12, 3, {.key_width = 5, .dtype = f64});
  Tensor x = waves({1, 6, 12}, 1, f64), c = waves({1, 9, 5}, 2, f64);
  auto compare = [](const Tensor& y, const Numbers& expected) {
    Numbers got = to_vector(y);
    REQUIRE(got.size() == expected.size());
    for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == Approx(expected[i]).epsilon(1e-9));
  };
  compare(full(x), plain_attention(full, x, x, 4, 4, false));
  compare(full(x, {.causal = true}), plain_attention(full, x, x, 4, 4, true));
  compare(grouped(x), plain_attention(grouped, x, x, 4, 2, false));
  compare(cross(x, c), plain_attention(cross, x, c, 3, 3, false));
  CHECK(grouped.num_parameters() == 12 * 12 * 2 + 6 * 12 * 2);
  Tensor masked = full(x, {.mask = tensor({true, false, false, false, false, false})});  // all see the first only
  compare(select(masked, 1, 3), to_vector(full.out(full.value(select(x, 1, 0)))));
}

TEST_CASE("attention: gradients reach all four projections; dropout is off in evaluation") {
  nn::MultiheadAttention layer(8, 2, {.dropout = 0.5});
  Tensor x = waves({2, 5, 8});
  (sum(square(layer(x)))).backward();
  for (const auto& [name, p] : layer.named_parameters())
    if (name != "key.bias") CHECK_MESSAGE(p.grad().defined(), name);
  CHECK(to_vector(layer(x)) != to_vector(layer(x)));
  layer.eval();
  CHECK(to_vector(layer(x)) == to_vector(layer(x)));
}

TEST_CASE("attention: sizes that do not divide are refused") {
  CHECK_THROWS_WITH_AS(nn::MultiheadAttention(10, 4), "attention: the width 10 is not a multiple of the 4 heads", ValueError);
  CHECK_THROWS_WITH_AS(nn::MultiheadAttention(12, 4, {.key_value_heads = 3}),
                       "attention: the 4 heads are not a multiple of the 3 heads of keys and values", ValueError);
  CHECK_THROWS_AS(nn::MultiheadAttention(12, 4)(ones({3, 12})), ShapeError);
}

TEST_CASE("layers: a small network learns exclusive or") {
  manual_seed(3);
  nn::Sequential net(nn::Linear(2, 8), nn::Tanh(), nn::Linear(8, 2));
  optim::AdamW adamw(net.parameters(), {.lr = 0.05, .weight_decay = 0});
  Tensor x = tensor({{0.0, 0.0}, {0.0, 1.0}, {1.0, 0.0}, {1.0, 1.0}}), target = tensor({0, 1, 1, 0});
  double last = 0;
  for (int t = 0; t < 200; ++t) {
    adamw.zero_grad();
    Tensor loss = cross_entropy(net(x), target);
    loss.backward();
    adamw.step();
    last = loss.item();
  }
  CHECK(last < 0.02);
}
