// Resampling, pooling, and windows as columns on the device against the CPU.
#include <doctest/doctest.h>

#include <functional>
#include <limits>

#include "engine/autograd/grad_mode.h"
#include "engine/core/channels_last.h"
#include "ops/pool.h"
#include "ops/shape.h"
#include "ops/vision.h"
#include "tests/cuda/compare.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

// The same function of images that lie with channels last, which come to it row-major.
Function of_channels_last(const Function& f) {
  return [f](const std::vector<Tensor>& x) { return f({movedim(contiguous(movedim(x[0], 1, -1)), -1, 1)}); };
}

void check_all_types(const char* what, const Function& f, const Shape& shape) {
  for (DType type : {f64, f32, bf16, f16})
    for (const Function& g : {f, of_channels_last(f)}) {
      double d = distance_from_cpu(g, {noise(shape, type, 3)}, type);
      CHECK_MESSAGE(d <= (type == f64 ? 1e-14 : 4 * epsilon(type)), what << " " << name(type) << " " << to_string(shape) << ": " << d);
    }
}
template <typename F>
Function image(F f) {
  return [f](const std::vector<Tensor>& x) -> std::vector<Tensor> { return {f(x[0])}; };
}

// The largest of windows, bit for bit.
void check_largest(const std::function<Tensor(const Tensor&)>& f, const Shape& shape) {
  const NoGrad off;
  for (DType type : {f64, f32, bf16, f16}) {
    const Tensor x = noise(shape, type, 3);
    CHECK(same(to_cpu(f(to_gpu(x))), f(x)));
    CHECK(same(to_cpu(f(dense_data(to_gpu(x), true))), f(x)));
  }
}

}  // namespace

TEST_CASE("interpolate: every mode, up and down, equals the CPU's") {
  for (Interpolation mode : {Interpolation::nearest, Interpolation::linear, Interpolation::bicubic, Interpolation::area})
    for (Size2 size : {Size2(3, 5), Size2(11, 20), Size2(7, 40)})
      check_all_types("interpolate", image([=](const Tensor& x) { return interpolate(x, {.size = size, .mode = mode}); }), {2, 3, 7, 11});
  check_all_types("upfirdn2d", image([](const Tensor& x) {
                    return upfirdn2d(x, {1, 3, 3, 1}, {.up = 2, .before = 2, .after = 1, .gain = 0.25});
                  }),
                  {1, 2, 6, 5});
}

TEST_CASE("pooling: equals the CPU's for windows, strides, padding and dilation") {
  for (const Shape& shape : {Shape{2, 3, 9, 14}, Shape{1, 1, 300, 3}}) {
    check_largest([](const Tensor& x) { return max_pool2d(x, {3, 2}, {.stride = 2, .padding = {1, 1}, .ceil_mode = true}); }, shape);
    check_largest([](const Tensor& x) { return max_pool2d(x, 2, {.stride = 1, .dilation = 2}); }, Shape{2, 3, 9, 14});
    check_all_types("avg_pool2d", image([](const Tensor& x) { return avg_pool2d(x, {3, 2}, {.stride = 2, .padding = 1}); }), shape);
    check_all_types("adaptive_avg_pool2d", image([](const Tensor& x) { return adaptive_avg_pool2d(x, {4, 2}); }), shape);
    check_largest([](const Tensor& x) { return adaptive_max_pool2d(x, {4, 2}); }, shape);
    check_all_types("max_pool2d", image([](const Tensor& x) {
                      return max_pool2d(x, {3, 2}, {.stride = 2, .padding = {1, 1}, .ceil_mode = true});
                    }),
                    shape);
    check_all_types("adaptive_max_pool2d", image([](const Tensor& x) { return adaptive_max_pool2d(x, {4, 2}); }), shape);
  }
}

TEST_CASE("max pooling: the first of equal values and the first NaN have the place") {
  std::vector<double> values(24, 1.0);
  values[9] = values[14] = std::numeric_limits<double>::quiet_NaN();
  values[23] = 5;
  const Tensor x = from_vector(values, {1, 1, 4, 6});
  for (DType type : {f64, f32, bf16, f16}) {
    const ValuesAndIndices got = max_pool2d_with_indices(to_gpu(to(x, type)), 2), expected = max_pool2d_with_indices(to(x, type), 2);
    CHECK(same(to_cpu(got.indices), expected.indices));
    CHECK(distance(got.values, expected.values) == 0);
  }
}

TEST_CASE("pooling and interpolation: images with channels last give such images, packs of channels and odd ones alike") {
  for (int64_t channels : {1, 3, 16, 24})
    for (DType type : {f32, bf16}) {
      const Tensor x = noise({2, channels, 6, 9}, type, 5), last = dense_data(to_gpu(x), true);
      const auto check = [&](const Tensor& got, const Tensor& expected) {
        CHECK(channels_last(got) == (channels > 1));
        CHECK(distance(got, expected) <= 2 * epsilon(type));
      };
      check(interpolate(last, {.scale = 2}), interpolate(x, {.scale = 2}));
      check(avg_pool2d(last, 2), avg_pool2d(x, 2));
      check(max_pool2d(last, 3, {.stride = 2, .padding = 1}), max_pool2d(x, 3, {.stride = 2, .padding = 1}));
    }
}

TEST_CASE("unfold and fold: equal the CPU's bit for bit where nothing overlaps and to rounding where it does") {
  for (const UnfoldOptions& o :
       {UnfoldOptions{}, UnfoldOptions{.stride = {2, 3}, .padding = {1, 2}}, UnfoldOptions{.padding = 3, .dilation = {2, 3}}}) {
    const Tensor x = noise({2, 3, 9, 10}, f32, 4);
    CHECK(same(to_cpu(unfold(to_gpu(x), {3, 2}, o)), unfold(x, {3, 2}, o)));
    check_all_types("unfold", image([=](const Tensor& y) { return unfold(y, {3, 2}, o); }), {2, 3, 9, 10});
    check_all_types("fold", image([=](const Tensor& y) { return fold(unfold(y, {3, 2}, o), {9, 10}, {3, 2}, o); }), {2, 3, 9, 10});
  }
}

TEST_CASE("windows: no planes give none, and strides do not matter") {
  CHECK(to_cpu(max_pool2d(to_gpu(noise({0, 3, 4, 4}, f32, 1)), 2)).shape() == Shape{0, 3, 2, 2});
  CHECK(to_cpu(interpolate(to_gpu(noise({0, 3, 4, 4}, f32, 1)), {.size = Size2(2, 2)})).shape() == Shape{0, 3, 2, 2});
  CHECK(to_cpu(unfold(to_gpu(noise({0, 3, 4, 4}, f32, 1)), 2)).shape() == Shape{0, 12, 9});
  check_all_types("transposed", image([](const Tensor& x) { return avg_pool2d(transpose(x, 2, 3), 2); }), {1, 2, 6, 9});
}
