// Batch, group and instance normalisation as layers; weight and spectral normalisation of layers.
#include "engine/core/generator.h"
#include "models/nn/norm.h"

#include <doctest/doctest.h>

#include <cmath>

#include "models/nn/batch_statistics.h"
#include "models/nn/containers.h"
#include "models/nn/linear.h"
#include "models/nn/reparametrize.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using Numbers = std::vector<double>;
using doctest::Approx;

static Tensor waves(const Shape& shape, double phase) {
  Numbers v(static_cast<size_t>(numel(shape)));
  for (size_t i = 0; i < v.size(); ++i) v[i] = 2 + std::sin(1.3 * static_cast<double>(i * i % 97) + phase);
  return from_vector(v, shape);
}

// Mean and variance (divided by n) of channel c of x [n, C, L].
static std::pair<double, double> channel_moments(const Tensor& x, size_t c) {
  Numbers v = to_vector(x);
  size_t n = static_cast<size_t>(x.size(0)), channels = static_cast<size_t>(x.size(1)), length = static_cast<size_t>(x.size(2));
  double mean = 0, square = 0, count = static_cast<double>(n * length);
  for (size_t e = 0; e < n; ++e)
    for (size_t i = 0; i < length; ++i) {
      double value = v[(e * channels + c) * length + i];
      mean += value / count;
      square += value * value / count;
    }
  return {mean, square - mean * mean};
}

TEST_CASE("batch norm: normalises by the batch in training, moves the running statistics, and uses them in evaluation") {
  nn::BatchNorm layer(3, {.momentum = 0.25, .dtype = f64});
  CHECK(layer.state().size() == 5);
  Numbers mean(3, 0.0), var(3, 1.0);
  Tensor kept = layer.running_mean;
  for (int t = 0; t < 3; ++t) {
    Tensor x = waves({4, 3, 5}, t), y = layer(x);
    for (size_t c = 0; c < 3; ++c) {
      auto [m, v] = channel_moments(x, c);
      CHECK(to_vector(y)[c * 5 + 2] == Approx((to_vector(x)[c * 5 + 2] - m) / std::sqrt(v + 1e-5)));
      mean[c] += 0.25 * (m - mean[c]);
      var[c] += 0.25 * (v * 20 / 19 - var[c]);
      CHECK(to_vector(layer.running_mean)[c] == Approx(mean[c]));
      CHECK(to_vector(layer.running_var)[c] == Approx(var[c]));
    }
  }
  CHECK(layer.num_batches_tracked.item<int64_t>() == 3);
  CHECK(layer.running_mean.same_as(kept));
  layer.eval();
  Tensor x = waves({2, 3, 5}, 9);
  CHECK(to_vector(layer(x))[7] == Approx((to_vector(x)[7] - mean[1]) / std::sqrt(var[1] + 1e-5)));
  CHECK(layer.num_batches_tracked.item<int64_t>() == 3);
}

TEST_CASE("batch norm: under BatchStatistics it goes by the batch in both modes and leaves the running statistics alone") {
  nn::BatchNorm layer(2, {.dtype = f64});
  Tensor x = waves({3, 2, 4}, 1).requires_grad_();
  Numbers training = to_vector(layer(x)), mean = to_vector(layer.running_mean);
  for (bool mode : {true, false}) {
    layer.train(mode);
    nn::BatchStatistics by_batch;
    Tensor y = layer(x);
    CHECK(to_vector(y) == training);
    sum(square(y) * waves({3, 2, 4}, 2)).backward();  // through mean and variance: a channel's gradients sum to 0
    CHECK(std::abs(sum(select(x.grad(), 1, 0)).item()) < 1e-12);
    x.zero_grad();
  }
  CHECK(to_vector(layer.running_mean) == mean);
  CHECK(layer.num_batches_tracked.item<int64_t>() == 1);
  CHECK(to_vector(layer(x)) != training);  // and afterwards in evaluation by the running ones
  {
    nn::BatchStatistics by_batch;
    nn::BatchStatistics off(false);
    CHECK(to_vector(layer(x)) != training);
  }
  nn::BatchStatistics by_batch;
  CHECK_THROWS_WITH_AS(layer(ones({1, 2, 1}, f64)), "batch_norm_training: a channel needs two elements or more, x is [1, 2, 1]",
                       ValueError);
}

TEST_CASE("batch norm: the cumulative mean, no running statistics, no weights") {
  nn::BatchNorm cumulative(2, {.cumulative = true, .dtype = f64});
  double total = 0;
  for (int t = 0; t < 4; ++t) {
    Tensor x = waves({3, 2, 4}, 2.0 * t);
    cumulative(x);
    total += channel_moments(x, 1).first;
  }
  CHECK(to_vector(cumulative.running_mean)[1] == Approx(total / 4));
  nn::BatchNorm bare(2, {.affine = false, .running = false, .dtype = f64});
  CHECK(bare.state().empty());
  Tensor x = waves({3, 2, 4}, 1);
  Numbers training = to_vector(bare(x));
  bare.eval();
  CHECK(to_vector(bare(x)) == training);
}

TEST_CASE("batch norm: a copy has its own statistics; gradients reach weight and bias") {
  nn::BatchNorm layer(3, {.dtype = f64}), copy = layer;
  sum(layer(waves({4, 3, 5}, 1)) * waves({4, 3, 5}, 2)).backward();
  CHECK(layer.weight.grad().defined());
  CHECK(layer.bias.grad().defined());
  CHECK(to_vector(copy.running_mean) == Numbers{0, 0, 0});
}

TEST_CASE("group and instance norm: the operations with the layers' weights") {
  Tensor x = waves({2, 6, 5}, 1);
  nn::GroupNorm group(3, 6, {.dtype = f64});
  CHECK(to_vector(group(x)) == to_vector(group_norm(x, 3, group.weight, group.bias)));
  nn::InstanceNorm instance(6);
  CHECK(instance.parameters().empty());
  CHECK(to_vector(instance(x)) == to_vector(instance_norm(x)));
  CHECK_THROWS_WITH_AS(nn::GroupNorm(4, 6), "group_norm: 4 groups do not divide 6 channels", ValueError);
  CHECK_THROWS_AS(nn::BatchNorm(0), ValueError);
}

TEST_CASE("weight norm: starts as the layer was, trains length and direction") {
  nn::Linear plain(4, 3, {.dtype = f64});
  nn::WeightNorm<nn::Linear> normed(plain);
  Tensor x = waves({5, 4}, 1), before = plain(x), after = normed(x);
  for (size_t i = 0; i < 15; ++i) CHECK(to_vector(after)[i] == Approx(to_vector(before)[i]));
  std::vector<std::string> names;
  for (const auto& n : normed.named_parameters()) names.push_back(n.name);
  CHECK(names == std::vector<std::string>{"g", "v", "layer.bias"});
  sum(normed(x)).backward();
  CHECK(normed.g.grad().shape() == Shape{3, 1});
  CHECK(normed.v.grad().defined());
  nn::WeightNorm<nn::Linear> copy = normed;
  CHECK(copy.parameters().size() == 3);
  copy_data(mul(normed.g, Scalar(2.0)), copy.g);
  CHECK(to_vector(normed(x)) == to_vector(after));
  CHECK(to_vector(copy(x)) != to_vector(after));
}

TEST_CASE("spectral norm: the largest singular value of the weight in use is one") {
  nn::SpectralNorm<nn::Linear> normed(nn::Linear(2, 6, {.dtype = f64}));
  Tensor x = waves({5, 2}, 1);
  for (int t = 0; t < 60; ++t) normed(x);
  normed.eval();
  normed(x);
  Numbers w = to_vector(normed.layer.weight);
  double a = 0, b = 0, c = 0;  // of WᵀW = [a b; b c]
  for (size_t r = 0; r < 6; ++r) {
    a += w[r * 2] * w[r * 2];
    b += w[r * 2] * w[r * 2 + 1];
    c += w[r * 2 + 1] * w[r * 2 + 1];
  }
  CHECK((a + c) / 2 + std::hypot((a - c) / 2, b) == Approx(1).epsilon(1e-6));
  CHECK(normed.named_parameters().size() == 2);
  CHECK(normed.named_buffers().size() == 1);
  Numbers u = to_vector(normed.u);
  normed(x);
  CHECK(to_vector(normed.u) == u);  // evaluation moves nothing
}

TEST_CASE("layer norm: a branch is added before the norm; without one the stream is its own") {
  nn::LayerNorm norm(Shape{5});
  Tensor x = to(waves({3, 5}, 2), f32), branch = to(waves({3, 5}, 3), f32);
  AddNorm both = norm.added(x, branch), alone = norm.added(x, {});
  CHECK(to_vector(both.sum) == to_vector(x + branch));
  CHECK(to_vector(both.norm) == to_vector(norm(x + branch)));
  CHECK(to_vector(alone.sum) == to_vector(x));
  CHECK(to_vector(alone.norm) == to_vector(norm(x)));
}

TEST_CASE("spectral norm: run again for its gradients, it gives those of the first run and moves once") {
  manual_seed(9);
  nn::SpectralNorm<nn::Linear> plain(nn::Linear(3, 5, {.dtype = f64})), again = plain;
  Tensor x = randn({4, 3}, {.dtype = f64});
  sum(square(plain(x))).backward();
  sum(square(checkpoint([&] { return again(x); }))).backward();
  CHECK(to_vector(again.original.grad()) == to_vector(plain.original.grad()));
  CHECK(to_vector(again.u) == to_vector(plain.u));
}
