// Convolution and pooling layers: shapes, parameters, the operation with their weights, training.
#include "models/nn/conv.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/core/generator.h"
#include "models/nn/activation.h"
#include "models/nn/containers.h"
#include "models/nn/linear.h"
#include "models/nn/pool.h"
#include "models/optim/adam.h"
#include "ops/loss.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using Numbers = std::vector<double>;

namespace {

Tensor ramp(const Shape& shape) {
  Numbers v(static_cast<size_t>(numel(shape)));
  for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<double>(i * i % 23) / 7 - 1;
  Tensor t = empty(shape);
  copy_data(from_vector(v, shape), t);
  return t;
}

double largest(const Tensor& t) {
  double most = 0;
  for (double v : to_vector(t)) most = std::max(most, std::abs(v));
  return most;
}

}  // namespace

TEST_CASE("conv2d: the operation with the layer's weights and options") {
  nn::Conv2d layer(4, 6, {3, 2}, {.stride = {2, 1}, .padding = {1, 0}, .dilation = 1, .groups = 2});
  CHECK(layer.weight.shape() == Shape{6, 2, 3, 2});
  CHECK(layer.num_parameters() == 6 * 2 * 6 + 6);
  CHECK(largest(layer.weight) <= 1 / std::sqrt(12.0));
  CHECK(largest(layer.weight) > 0.8 / std::sqrt(12.0));
  Tensor x = ramp({2, 4, 7, 5});
  CHECK(layer(x).shape() == Shape{2, 6, 4, 4});
  CHECK(to_vector(layer(x)) == to_vector(conv2d(x, layer.weight, layer.bias, {.stride = {2, 1}, .padding = {1, 0}, .groups = 2})));
  nn::Conv2d same(4, 3, 3, {.padding_mode = PadMode::circular, .same = true, .bias = false});
  CHECK(same(x).shape() == Shape{2, 3, 7, 5});
  CHECK(same.named_parameters().size() == 1);
}

TEST_CASE("conv1d and transposed convolutions: the operations with the layers' weights") {
  nn::Conv1d line(3, 5, 4, {.stride = 2, .padding = 1});
  Tensor s = ramp({2, 3, 9});
  CHECK(to_vector(line(s)) == to_vector(conv1d(s, line.weight, line.bias, {.stride = 2, .padding = 1})));
  nn::ConvTranspose2d up(4, 6, 3, {.stride = 2, .padding = 1, .output_padding = 1, .groups = 2});
  CHECK(up.weight.shape() == Shape{4, 3, 3, 3});
  Tensor x = ramp({2, 4, 5, 5});
  CHECK(up(x).shape() == Shape{2, 6, 10, 10});
  CHECK(to_vector(up(x)) ==
        to_vector(conv_transpose2d(x, up.weight, up.bias, {.stride = 2, .padding = 1, .output_padding = 1, .groups = 2})));
  nn::ConvTranspose1d line_up(3, 2, 4, {.stride = 2});
  CHECK(line_up(s).shape() == Shape{2, 2, 20});
}

TEST_CASE("conv: sizes and groups that do not fit are refused") {
  CHECK_THROWS_WITH_AS(nn::Conv2d(3, 4, 3, {.groups = 2}), "conv2d: 2 groups do not divide 3 → 4 channels", ValueError);
  CHECK_THROWS_WITH_AS(nn::Conv2d(3, 4, {3, 0}), "conv2d: sizes must be positive, got 3 → 4 channels, kernel 3×0", ValueError);
  CHECK_THROWS_AS(nn::Conv1d(0, 4, 3), ValueError);
}

TEST_CASE("pooling: as layers they are their operations") {
  Tensor x = ramp({2, 3, 6, 8});
  CHECK(to_vector(nn::MaxPool2d(2)(x)) == to_vector(max_pool2d(x, 2)));
  CHECK(to_vector(nn::AvgPool2d({3, 2}, {.stride = 1, .padding = 1, .count_include_pad = false})(x)) ==
        to_vector(avg_pool2d(x, {3, 2}, {.stride = 1, .padding = 1, .count_include_pad = false})));
  CHECK(nn::AdaptiveAvgPool2d({2, 3})(x).shape() == Shape{2, 3, 2, 3});
  CHECK(to_vector(nn::AdaptiveMaxPool2d(1)(x)) == to_vector(global_max_pool(x)));
  CHECK(nn::GlobalAvgPool()(x).shape() == Shape{2, 3});
  Tensor s = ramp({2, 3, 9});
  CHECK(nn::MaxPool1d(3)(s).shape() == Shape{2, 3, 3});
  CHECK(nn::AvgPool1d(3, {.stride = 2})(s).shape() == Shape{2, 3, 4});
  CHECK(nn::AdaptiveAvgPool1d(4)(s).shape() == Shape{2, 3, 4});
}

TEST_CASE("conv: a small network tells horizontal from vertical bars") {
  manual_seed(1);
  nn::Sequential net{nn::Conv2d(1, 4, 3, {.padding = 1}), relu, nn::MaxPool2d(2), nn::Flatten(), nn::Linear(4 * 3 * 3, 2)};
  Numbers pixels(12 * 36);
  std::vector<int64_t> labels(12);
  for (size_t i = 0; i < 12; ++i)
    for (size_t k = 0; k < 6; ++k) {
      labels[i] = static_cast<int64_t>(i / 6);
      pixels[i * 36 + (i < 6 ? i * 6 + k : k * 6 + i - 6)] = 1;
    }
  Tensor x = to(from_vector(pixels, {12, 1, 6, 6}), f32), y = from_vector(labels);
  optim::AdamW adamw(net.parameters(), {.lr = 0.02, .weight_decay = 0});
  double last = 0;
  for (int t = 0; t < 120; ++t) {
    adamw.zero_grad();
    Tensor loss = cross_entropy(net(x), y);
    loss.backward();
    adamw.step();
    last = loss.item();
  }
  CHECK(last < 0.05);
}
