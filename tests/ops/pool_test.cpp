// Pooling against plain loops in f64.
#include "ops/pool.h"

#include <doctest/doctest.h>

#include <limits>

#include "engine/core/parallel.h"
#include "ops/index.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::test;

namespace {

struct Config {
  Shape input;
  Size2 window, stride, padding, dilation;
  bool ceil_mode = false;
};
std::vector<Config> configs() {
  return {
      {{2, 3, 6, 8}, 2, 2, 0, 1},
      {{1, 2, 7, 5}, 3, 2, 1, 1},
      {{1, 2, 7, 5}, 3, 2, 1, 1, true},
      {{2, 1, 5, 9}, {2, 3}, {1, 4}, {1, 0}, 1, true},
      {{1, 1, 9, 10}, {3, 2}, {2, 1}, {1, 1}, {2, 3}},
      {{1, 3, 1, 1}, 1, 1, 0, 1},
      {{3, 2, 4, 70}, {4, 5}, {1, 3}, {2, 2}, 1, true},
      {{2, 2, 3, 3}, 2, 5, 1, 1, true},
  };
}

// PyTorch's rule.
int64_t outputs(int64_t size, int64_t window, int64_t stride, int64_t padding, int64_t dilation, bool ceil_mode) {
  int64_t room = size + 2 * padding - dilation * (window - 1) - 1, n = room / stride + 1;
  if (ceil_mode && room % stride != 0 && n * stride < size + padding) ++n;
  return n;
}

struct PoolValues {
  std::vector<double> max, place, mean_all, mean_inside;
  Shape shape;
};
PoolValues plain_loops(const Tensor& x, const Config& c) {
  std::vector<double> v = to_vector(x);
  const int64_t planes = x.size(0) * x.size(1), h = x.size(2), w = x.size(3);
  const int64_t oh = outputs(h, c.window.height, c.stride.height, c.padding.height, c.dilation.height, c.ceil_mode);
  const int64_t ow = outputs(w, c.window.width, c.stride.width, c.padding.width, c.dilation.width, c.ceil_mode);
  PoolValues r;
  r.shape = {x.size(0), x.size(1), oh, ow};
  for (int64_t n = 0; n < planes; ++n)
    for (int64_t i = 0; i < oh; ++i)
      for (int64_t j = 0; j < ow; ++j) {
        double best = -INFINITY, sum = 0;
        int64_t at = -1, inside = 0, padded = 0;
        for (int64_t p = 0; p < c.window.height; ++p)
          for (int64_t q = 0; q < c.window.width; ++q) {
            const int64_t row = i * c.stride.height - c.padding.height + p * c.dilation.height,
                          column = j * c.stride.width - c.padding.width + q * c.dilation.width;
            if (row < h + c.padding.height && column < w + c.padding.width) ++padded;
            if (row < 0 || row >= h || column < 0 || column >= w) continue;
            const double value = v[static_cast<size_t>((n * h + row) * w + column)];
            ++inside;
            sum += value;
            if (value > best || std::isnan(value)) best = value, at = row * w + column;
            if (std::isnan(value)) best = INFINITY;  // nothing is larger
          }
        r.max.push_back(at < 0 ? -INFINITY : v[static_cast<size_t>(n * h * w + at)]);
        r.place.push_back(static_cast<double>(at));
        r.mean_all.push_back(sum / static_cast<double>(padded));
        r.mean_inside.push_back(sum / static_cast<double>(inside));
      }
  return r;
}

double tolerance(DType t) { return t == f64 ? 1e-14 : t == f32 ? 1e-6 : t == bf16 ? 0x1p-7 : 0x1p-10; }

}  // namespace

TEST_CASE("max_pool2d: values and places agree with plain loops in every type") {
  for (DType t : {f64, f32, bf16, f16})
    for (const Config& c : configs()) {
      Tensor x = sample(c.input, 1, t);
      PoolValues expected = plain_loops(x, c);
      for (const Tensor& input : {x, strided(x)}) {
        auto y = max_pool2d_with_indices(input, c.window, {c.stride, c.padding, c.dilation, c.ceil_mode});
        CAPTURE(to_string(c.input));
        REQUIRE(y.values.shape() == expected.shape);
        CHECK(y.values.dtype() == t);
        CHECK(to_vector(y.values) == expected.max);
        CHECK(to_vector(y.indices) == expected.place);
      }
    }
}

TEST_CASE("max_pool2d: the first of equal elements is chosen, and gets the gradient") {
  Tensor x = tensor({{{0.0, 3.0, 3.0}, {3.0, 1.0, 3.0}}}).requires_grad_();
  auto y = max_pool2d_with_indices(x, {2, 3});
  CHECK(y.indices.item<int64_t>() == 1);
  CHECK(to_vector(grad({y.values}, {x})[0]) == std::vector<double>{0, 1, 0, 0, 0, 0});
  Tensor low = full({1, 2, 2}, -std::numeric_limits<double>::infinity());
  CHECK(max_pool2d_with_indices(low, 2).indices.item<int64_t>() == 0);
}

TEST_CASE("max_pool2d: a NaN counts as the largest, the first of them") {
  Tensor x = sample({1, 6, 7}, 1);
  x.data<double>()[9] = x.data<double>()[23] = x.data<double>()[24] = NAN;
  auto y = max_pool2d_with_indices(x, {6, 7});
  CHECK(std::isnan(y.values.item()));
  CHECK(y.indices.item<int64_t>() == 9);
}

TEST_CASE("max_pool2d: overlapping windows add their gradients") {
  Tensor x = tensor({{{1.0, 2.0, 9.0, 2.0, 1.0}}}).requires_grad_();
  Tensor y = max_pool2d(x, {1, 3}, {.stride = 1});
  CHECK(to_vector(grad({y}, {x}, {}, {tensor({{{1.0, 2.0, 4.0}}})})[0]) == std::vector<double>{0, 0, 7, 0, 0});
}

TEST_CASE("avg_pool2d agrees with plain loops, padding counted or not") {
  for (DType t : {f64, f32, bf16, f16})
    for (const Config& c : configs()) {
      if (c.dilation != Size2(1)) continue;
      Tensor x = sample(c.input, 1, t);
      PoolValues expected = plain_loops(x, c);
      CAPTURE(to_string(c.input));
      for (const Tensor& input : {x, strided(x)}) {
        CHECK(difference(avg_pool2d(input, c.window, {c.stride, c.padding, c.ceil_mode, true}),
                         from_vector(expected.mean_all, expected.shape)) < tolerance(t));
        CHECK(difference(avg_pool2d(input, c.window, {c.stride, c.padding, c.ceil_mode, false}),
                         from_vector(expected.mean_inside, expected.shape)) < tolerance(t));
      }
    }
  CHECK(to_vector(avg_pool2d(full({1, 3, 3}, 0.7, f32), 3)) == std::vector<double>{0.7f});
}

TEST_CASE("pooling in one dimension is that of images of height 1") {
  Tensor x = sample({2, 3, 11}, 1);
  auto image = max_pool2d_with_indices(unsqueeze(x, 2), {1, 3}, {.stride = {1, 2}, .padding = {0, 1}, .dilation = {1, 2}});
  auto y = max_pool1d_with_indices(x, 3, {.stride = 2, .padding = 1, .dilation = 2});
  CHECK(same_bits(y.values, squeeze(image.values, 2)));
  CHECK(same_bits(y.indices, squeeze(image.indices, 2)));
  CHECK(same_bits(avg_pool1d(x, 2, {.padding = 1}), squeeze(avg_pool2d(unsqueeze(x, 2), {1, 2}, {.padding = {0, 1}}), 2)));
  CHECK(same_bits(max_pool1d(select(x, 0, 1), 4), select(max_pool1d(x, 4), 0, 1)));
}

TEST_CASE("adaptive pooling: parts begin at ⌊iL/n⌋ and end at ⌈(i+1)L/n⌉") {
  Tensor x = sample({2, 3, 7, 5}, 1);
  std::vector<double> v = to_vector(x), mean, largest;
  for (int64_t n = 0; n < 6; ++n)
    for (int64_t i = 0; i < 3; ++i)
      for (int64_t j = 0; j < 8; ++j) {
        double sum = 0, best = -INFINITY;
        int64_t count = 0;
        for (int64_t r = i * 7 / 3; r < (i + 1) * 7 / 3 + ((i + 1) * 7 % 3 != 0); ++r)
          for (int64_t c = j * 5 / 8; c < (j + 1) * 5 / 8 + ((j + 1) * 5 % 8 != 0); ++c, ++count) {
            sum += v[static_cast<size_t>((n * 7 + r) * 5 + c)];
            best = std::max(best, v[static_cast<size_t>((n * 7 + r) * 5 + c)]);
          }
        mean.push_back(sum / static_cast<double>(count));
        largest.push_back(best);
      }
  CHECK(difference(adaptive_avg_pool2d(x, {3, 8}), from_vector(mean, {2, 3, 3, 8})) < 1e-14);
  CHECK(to_vector(adaptive_max_pool2d(x, {3, 8})) == largest);
  CHECK(difference(adaptive_avg_pool2d(x, 1), reshape(global_avg_pool(x), {2, 3, 1, 1})) < 1e-14);
  CHECK(same_bits(adaptive_max_pool2d(x, 1), reshape(global_max_pool(x), {2, 3, 1, 1})));
  CHECK(same_bits(adaptive_avg_pool1d(select(x, 2, 0), 5), clone(select(x, 2, 0))));
  auto [values, places] = adaptive_max_pool2d_with_indices(x, {3, 8});  // places count within a plane: reading there gives the values
  CHECK(to_vector(values) == largest);
  CHECK(same_bits(gather(flatten(x, 2), 2, flatten(places, 2)), flatten(values, 2)));
  Tensor line = flatten(x, 2);
  auto [line_values, line_places] = adaptive_max_pool1d_with_indices(line, 4);
  CHECK(same_bits(line_values, adaptive_max_pool1d(line, 4)));
  CHECK(same_bits(gather(line, 2, line_places), line_values));
}

TEST_CASE("pooling: an empty batch") {
  Tensor x = zeros({0, 3, 6, 6}).requires_grad_();
  for (const Tensor& y : {max_pool2d(x, 2), avg_pool2d(x, 2), adaptive_avg_pool2d(x, 3), adaptive_max_pool2d(x, 3)}) {
    CHECK(y.shape() == Shape{0, 3, 3, 3});
    CHECK(grad({y}, {x}, {}, {zeros(y.shape())})[0].shape() == x.shape());
  }
  CHECK(global_avg_pool(x).shape() == Shape{0, 3});
}

TEST_CASE("pooling: the same bits with 1, 2, 3 and 8 threads") {
  int before = num_threads();
  std::vector<Tensor> first;
  for (int threads : {1, 2, 3, 8}) {
    set_num_threads(threads);
    Tensor x = sample({5, 17, 23, 31}, 1, f32).requires_grad_();
    std::vector<Tensor> result;
    for (const Tensor& y :
         {max_pool2d(x, 3, {.stride = 2, .padding = 1}), avg_pool2d(x, 3, {.stride = 2}), adaptive_avg_pool2d(x, 7), global_avg_pool(x)}) {
      result.push_back(y);
      result.push_back(gradients(y, {x}, false)[0]);
    }
    if (first.empty()) first = result;
    for (size_t i = 0; i < result.size(); ++i) CHECK(same_bits(result[i], first[i]));
  }
  set_num_threads(before);
}

TEST_CASE("pooling: what does not fit is named") {
  Tensor x = zeros({1, 2, 3, 4});
  CHECK_THROWS_WITH_AS(max_pool2d(x, {4, 2}), "max_pool2d: no window fits: input [1, 2, 3, 4], window 4×2, padding 0×0, dilation 1×1",
                       ShapeError);
  CHECK_THROWS_WITH_AS(avg_pool1d(zeros({2, 3}), 5, {.padding = 0}),
                       "avg_pool1d: no window fits: input [2, 3], window 5, padding 0, dilation 1", ShapeError);
  CHECK_THROWS_WITH_AS(max_pool2d(x, 2, {.padding = 2}), "max_pool2d: the padding 2×2 is more than half the window 2×2", ValueError);
  CHECK_THROWS_WITH_AS(max_pool2d(x, 0), "max_pool2d: the window must be at least 1, it is 0×0", ValueError);
  CHECK_THROWS_WITH_AS(avg_pool2d(x, 2, {.stride = -1}), "avg_pool2d: the stride must be at least 0, it is -1×-1", ValueError);
  CHECK_THROWS_WITH_AS(max_pool2d(zeros({1, 1, 4}), 2, {.padding = 1, .dilation = 2}),
                       "max_pool2d: a window lies in the padding alone: input [1, 1, 4], window 2×2, padding 1×1, dilation 2×2",
                       ShapeError);
  CHECK_THROWS_WITH_AS(max_pool2d(zeros({3, 4}), 2),
                       "max_pool2d: takes [batch, channels, height, width] or [channels, height, width], got [3, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(avg_pool2d(zeros({1, 2, 2}, i64), 2), "avg_pool2d: takes a floating tensor, got i64", DTypeError);
  CHECK_THROWS_WITH_AS(adaptive_avg_pool2d(x, {0, 2}), "adaptive_avg_pool2d: the size must be at least 1, it is 0×2", ValueError);
  CHECK_THROWS_WITH_AS(adaptive_max_pool1d(zeros({2, 0}), 2), "adaptive_max_pool1d: there is nothing to divide: input [2, 0]", ShapeError);
  CHECK_THROWS_WITH_AS(global_avg_pool(zeros({2, 3})), "global_avg_pool: takes [batch, channels, ..], got [2, 3]", ShapeError);
}

TEST_CASE("pooling: rounded up, no window begins in the padding at the end") {
  Tensor x = reshape(tensor({1.0, 2.0, 3.0, 4.0, 5.0}), {1, 1, 5});  // windows at -1 and 2; one at 5 would see padding alone
  CHECK(to_vector(avg_pool1d(x, 2, {.stride = 3, .padding = 1, .ceil_mode = true})) == std::vector<double>{0.5, 3.5});
  CHECK(to_vector(max_pool1d(x, 2, {.stride = 3, .padding = 1, .ceil_mode = true})) == std::vector<double>{1, 4});
}
