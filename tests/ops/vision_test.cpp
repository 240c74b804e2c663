// Resizing, windows as columns and shuffles against plain loops in f64.
#include "ops/vision.h"

#include <doctest/doctest.h>

#include "engine/core/parallel.h"
#include "ops/conv.h"
#include "ops/create.h"
#include "ops/matmul.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::test;

namespace {

double cubic(double d) {
  const double a = -0.75;
  d = std::abs(d);
  if (d <= 1) return (a + 2) * d * d * d - (a + 3) * d * d + 1;
  return d < 2 ? a * d * d * d - 5 * a * d * d + 8 * a * d - 4 * a : 0;
}
double straight(double d) { return std::max(0.0, 1 - std::abs(d)); }

// One output place as the sum over all input places (those outside clipped to the border), each by its distance.
double at_place(const double* x, int64_t h, int64_t w, double row, double column, double (*weight)(double)) {
  double sum = 0;
  for (auto i = static_cast<int64_t>(std::floor(row)) - 2; i <= row + 3; ++i)
    for (auto j = static_cast<int64_t>(std::floor(column)) - 2; j <= column + 3; ++j)
      sum += weight(row - static_cast<double>(i)) * weight(column - static_cast<double>(j)) *
             x[std::clamp<int64_t>(i, 0, h - 1) * w + std::clamp<int64_t>(j, 0, w - 1)];
  return sum;
}

Tensor plain_resize(const Tensor& x, Size2 size, bool corners, double (*weight)(double)) {
  std::vector<double> v = to_vector(x), y;
  const int64_t h = x.size(2), w = x.size(3);
  auto place = [corners](int64_t i, int64_t in, int64_t out) {
    if (corners) return out == 1 ? 0.0 : static_cast<double>(i * (in - 1)) / static_cast<double>(out - 1);
    return (static_cast<double>(i) + 0.5) * static_cast<double>(in) / static_cast<double>(out) - 0.5;
  };
  for (int64_t n = 0; n < x.size(0) * x.size(1); ++n)
    for (int64_t i = 0; i < size.height; ++i)
      for (int64_t j = 0; j < size.width; ++j)
        y.push_back(at_place(v.data() + n * h * w, h, w, place(i, h, size.height), place(j, w, size.width), weight));
  return from_vector(y, {x.size(0), x.size(1), size.height, size.width});
}

const Size2 kSizes[] = {{1, 1}, {3, 4}, {5, 7}, {10, 14}, {13, 3}, {2, 20}};

}  // namespace

TEST_CASE("interpolate: linear and bicubic agree with weights by distance") {
  Tensor x = sample({2, 3, 5, 7}, 1);
  for (Size2 size : kSizes)
    for (bool corners : {false, true}) {
      CAPTURE(size.height);
      CAPTURE(size.width);
      CAPTURE(corners);
      CHECK(difference(interpolate(x, {.size = size, .mode = Interpolation::linear, .align_corners = corners}),
                       plain_resize(x, size, corners, straight)) < 1e-12);
      CHECK(difference(interpolate(x, {.size = size, .mode = Interpolation::bicubic, .align_corners = corners}),
                       plain_resize(x, size, corners, cubic)) < 1e-12);
      CHECK(same_bits(interpolate(strided(x), {.size = size, .mode = Interpolation::bicubic}),
                      interpolate(x, {.size = size, .mode = Interpolation::bicubic})));
    }
  for (DType t : {f32, bf16, f16}) {
    Tensor low = to(x, t);
    CHECK(difference(interpolate(low, {.size = Size2(8, 9), .mode = Interpolation::linear}), plain_resize(low, {8, 9}, false, straight)) <
          (t == f32    ? 1e-6
           : t == bf16 ? 0x1p-8
                       : 0x1p-11));
  }
}

TEST_CASE("interpolate: known rows") {
  Tensor x = tensor({{{1.0, 2.0, 4.0}}}, f64);
  CHECK(to_vector(interpolate(x, {.scale = 2})) == std::vector<double>{1, 1, 2, 2, 4, 4});
  CHECK(to_vector(interpolate(x, {.scale = 2, .mode = Interpolation::linear})) == std::vector<double>{1, 1.25, 1.75, 2.5, 3.5, 4});
  CHECK(to_vector(interpolate(x, {.size = 5, .mode = Interpolation::linear, .align_corners = true})) ==
        std::vector<double>{1, 1.5, 2, 3, 4});
  CHECK(to_vector(interpolate(x, {.size = 2})) == std::vector<double>{1, 2});
  CHECK(to_vector(interpolate(x, {.size = 2, .mode = Interpolation::area})) == std::vector<double>{1.5, 3});
}

TEST_CASE("interpolate: a scale sets the size and the distance of places") {
  Tensor x = sample({1, 1, 5, 6}, 1);
  Tensor y = interpolate(x, {.scale = 1.5, .scale_width = 0.5, .mode = Interpolation::linear});
  CHECK(y.shape() == Shape{1, 1, 7, 3});
  std::vector<double> v = to_vector(x), expected;
  for (int64_t i = 0; i < 7; ++i)
    for (int64_t j = 0; j < 3; ++j)
      expected.push_back(
          at_place(v.data(), 5, 6, (static_cast<double>(i) + 0.5) / 1.5 - 0.5, (static_cast<double>(j) + 0.5) * 2 - 0.5, straight));
  CHECK(difference(y, from_vector(expected, y.shape())) < 1e-13);
}

TEST_CASE("interpolate: what does not fit is named") {
  Tensor x = zeros({1, 2, 3, 4});
  CHECK_THROWS_WITH_AS(interpolate(x, {}), "interpolate: takes a size or a scale", ValueError);
  CHECK_THROWS_WITH_AS(interpolate(x, {.size = 2, .scale = 2}), "interpolate: takes a size or a scale", ValueError);
  CHECK_THROWS_WITH_AS(interpolate(x, {.scale = -1}), "interpolate: the scale must be positive, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(interpolate(x, {.scale = 0.3}), "interpolate: cannot resize [3, 4] to [0, 1]", ShapeError);
  CHECK_THROWS_WITH_AS(interpolate(zeros({1, 2, 0}), {.size = 2}), "interpolate: cannot resize [0] to [2]", ShapeError);
  CHECK_THROWS_WITH_AS(interpolate(zeros({3, 4}), {.size = 2}),
                       "interpolate: takes [batch, channels, length] or [batch, channels, height, width], got [3, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(interpolate(x, {.size = 2, .align_corners = true}),
                       "interpolate: align_corners is for linear and bicubic interpolation", ValueError);
  CHECK_THROWS_WITH_AS(interpolate(zeros({1, 2, 4}), {.size = 2, .mode = Interpolation::bicubic}),
                       "interpolate: bicubic takes images [batch, channels, height, width], got [1, 2, 4]", ValueError);
  CHECK_THROWS_WITH_AS(interpolate(zeros({1, 2, 4}, i64), {.size = 2}), "interpolate: takes a floating tensor, got i64", DTypeError);
}

TEST_CASE("unfold: convolution is a product with its columns") {
  Tensor x = sample({2, 3, 6, 7}, 1), w = sample({4, 3, 2, 3}, 2);
  Tensor columns = unfold(x, {2, 3}, {.stride = {2, 1}, .padding = {1, 2}, .dilation = {3, 2}});
  Tensor y = conv2d(x, w, {}, {.stride = {2, 1}, .padding = {1, 2}, .dilation = {3, 2}});
  CHECK(columns.shape() == Shape{2, 18, y.size(2) * y.size(3)});
  CHECK(difference(reshape(matmul(reshape(w, {4, 18}), columns), y.shape()), y) < 1e-13);
  CHECK(same_bits(unfold(strided(x), {2, 3}), unfold(x, {2, 3})));
  CHECK(same_bits(unfold(select(x, 0, 1), 2), select(unfold(x, 2), 0, 1)));
  CHECK(to_vector(unfold(tensor({{{1, 2}, {3, 4}}}, f32), 1, {.padding = {0, 1}})) == std::vector<double>{0, 1, 2, 0, 0, 3, 4, 0});
}

TEST_CASE("fold adds what overlaps: with unfold it counts the windows over each place") {
  Tensor x = ones({1, 1, 3, 4}, f64);
  CHECK(to_vector(fold(unfold(x, 2), {3, 4}, 2)) == std::vector<double>{1, 2, 2, 1, 2, 4, 4, 2, 1, 2, 2, 1});
  // ⟨unfold(x), c⟩ = ⟨x, fold(c)⟩
  for (UnfoldOptions o :
       {UnfoldOptions{}, UnfoldOptions{.stride = {3, 2}, .padding = {2, 1}, .dilation = {1, 2}}, UnfoldOptions{.stride = 4}}) {
    Tensor image = sample({2, 3, 7, 8}, 1), u = unfold(image, {3, 2}, o), c = sample(u.shape(), 2);
    CHECK(sum(u * c).item() == doctest::Approx(sum(image * fold(c, {7, 8}, {3, 2}, o)).item()).epsilon(1e-12));
  }
  CHECK(fold(zeros({0, 12, 6}), {3, 4}, 2).shape() == Shape{0, 3, 3, 4});
}

TEST_CASE("unfold and fold: what does not fit is named") {
  CHECK_THROWS_WITH_AS(unfold(zeros({1, 1, 3, 4}), {4, 2}), "unfold: no window fits: image 3×4, kernel 4×2, padding 0×0, dilation 1×1",
                       ShapeError);
  CHECK_THROWS_WITH_AS(unfold(zeros({1, 1, 3, 4}), 2, {.stride = 0}), "unfold: the stride must be at least 1, it is 0×0", ValueError);
  CHECK_THROWS_WITH_AS(unfold(zeros({3, 4}), 2), "unfold: takes [batch, channels, height, width] or [channels, height, width], got [3, 4]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(fold(zeros({1, 4, 5}), {3, 4}, 2), "fold: [1, 4, 5] is not channels · 2×2 by 2×3 windows of an image 3×4",
                       ShapeError);
  CHECK_THROWS_WITH_AS(fold(zeros({1, 6, 6}), {3, 4}, 2), "fold: [1, 6, 6] is not channels · 2×2 by 2×3 windows of an image 3×4",
                       ShapeError);
  CHECK_THROWS_WITH_AS(fold(zeros({6}), {3, 4}, 2), "fold: takes [batch, channels · kernel, windows], got [6]", ShapeError);
}

TEST_CASE("pixel_shuffle puts channels into blocks, pixel_unshuffle takes them out") {
  Tensor x = sample({2, 18, 2, 3}, 1);
  Tensor y = pixel_shuffle(x, 3);
  REQUIRE(y.shape() == Shape{2, 2, 6, 9});
  std::vector<double> from = to_vector(x), to = to_vector(y);
  for (int64_t n = 0; n < 2; ++n)
    for (int64_t c = 0; c < 2; ++c)
      for (int64_t i = 0; i < 6; ++i)
        for (int64_t j = 0; j < 9; ++j)
          CHECK(to[static_cast<size_t>(((n * 2 + c) * 6 + i) * 9 + j)] ==
                from[static_cast<size_t>(((n * 18 + c * 9 + i % 3 * 3 + j % 3) * 2 + i / 3) * 3 + j / 3)]);
  CHECK(same_bits(pixel_unshuffle(y, 3), x));
  CHECK(pixel_shuffle(zeros({0, 4, 2, 2}), 2).shape() == Shape{0, 1, 4, 4});
  CHECK(to_vector(channel_shuffle(tensor({{0, 1, 2, 3, 4, 5}}), 2)) == std::vector<double>{0, 3, 1, 4, 2, 5});
  CHECK_THROWS_WITH_AS(pixel_shuffle(x, 2), "pixel_shuffle: takes [.., channels · 4, height, width], got [2, 18, 2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(pixel_unshuffle(x, 2), "pixel_unshuffle: takes [.., channels, height · 2, width · 2], got [2, 18, 2, 3]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(pixel_shuffle(x, 0), "pixel_shuffle: the factor must be at least 1, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(channel_shuffle(x, 4), "channel_shuffle: takes [batch, 4 · channels, ..], got [2, 18, 2, 3]", ShapeError);
}

TEST_CASE("resizing and columns: the same bits with 1, 2, 3 and 8 threads") {
  int before = num_threads();
  std::vector<Tensor> first;
  for (int threads : {1, 2, 3, 8}) {
    set_num_threads(threads);
    Tensor x = sample({3, 16, 19, 23}, 1, f32).requires_grad_();
    std::vector<Tensor> result;
    for (const Tensor& y : {interpolate(x, {.size = Size2(40, 31), .mode = Interpolation::bicubic}), unfold(x, 3, {.padding = 1})}) {
      result.push_back(y);
      result.push_back(gradients(y, {x}, false)[0]);
    }
    if (first.empty()) first = result;
    for (size_t i = 0; i < result.size(); ++i) CHECK(same_bits(result[i], first[i]));
  }
  set_num_threads(before);
}

TEST_CASE("upfirdn2d: zeros between and around, filtered, every so many places kept") {
  Tensor x = sample({2, 3, 5, 4}, 11);
  std::vector<double> v = to_vector(x), taps{0.25, -1, 0.5, 2};
  for (int64_t up : {1, 2, 3})
    for (int64_t down : {1, 2})
      for (auto [before, after] : {std::pair<int64_t, int64_t>{0, 0}, {2, 1}, {3, -1}}) {
        CAPTURE(up);
        CAPTURE(down);
        CAPTURE(before);
        const int64_t h = 5 * up + before + after, w = 4 * up + before + after;
        std::vector<double> y;
        for (int64_t plane = 0; plane < 6; ++plane) {
          std::vector<double> u(static_cast<size_t>(h * w));
          for (int64_t r = 0; r < h; ++r)
            for (int64_t c = 0; c < w; ++c) {
              int64_t i = r - before, j = c - before;
              if (i >= 0 && j >= 0 && i % up == 0 && j % up == 0 && i / up < 5 && j / up < 4)
                u[static_cast<size_t>(r * w + c)] = v[static_cast<size_t>(plane * 20 + i / up * 4 + j / up)];
            }
          for (int64_t r = 0; r + 4 <= h; r += down)
            for (int64_t c = 0; c + 4 <= w; c += down) {
              double sum = 0;
              for (int64_t p = 0; p < 4; ++p)
                for (int64_t q = 0; q < 4; ++q)
                  sum += 0.75 * 0.75 * taps[static_cast<size_t>(3 - p)] * taps[static_cast<size_t>(3 - q)] *
                         u[static_cast<size_t>((r + p) * w + c + q)];
              y.push_back(sum);
            }
        }
        Tensor wanted = from_vector(y, {2, 3, (h - 4) / down + 1, (w - 4) / down + 1});
        UpfirdnOptions o{.up = up, .down = down, .before = before, .after = after, .gain = 0.75};
        CHECK(difference(upfirdn2d(x, taps, o), wanted) < 1e-12);
        CHECK(same_bits(upfirdn2d(strided(x), taps, o), upfirdn2d(x, taps, o)));
      }
  CHECK(upfirdn2d(zeros({0, 3, 5, 4}), taps).shape() == Shape{0, 3, 2, 1});
  CHECK_THROWS_WITH_AS(upfirdn2d(x, {}), "upfirdn2d: the filter has no taps", ValueError);
  CHECK_THROWS_WITH_AS(upfirdn2d(x, taps, {.down = 0}), "upfirdn2d: up and down must be at least 1, they are 1 and 0", ValueError);
  CHECK_THROWS_WITH_AS(upfirdn2d(x, taps, {.before = -2}), "upfirdn2d: nothing is left of [2, 3, 5, 4] under 4 taps with padding -2 and 0",
                       ShapeError);
  CHECK_THROWS_WITH_AS(upfirdn2d(ones({1, 5, 4}, i64), taps), "upfirdn2d: takes a floating tensor, got i64", DTypeError);
}

TEST_CASE("interpolate: nearest takes the element at ⌊i L / L'⌋, for every pair of sizes") {
  for (int64_t size : {2, 3, 7, 49})
    for (int64_t outputs : {1, 5, 98, 195}) {
      Tensor x = reshape(arange(size), {1, 1, 1, size}), y = interpolate(to(x, f32), {.size = Size2(1, outputs)});
      std::vector<double> expected;
      for (int64_t i = 0; i < outputs; ++i) expected.push_back(static_cast<double>(i * size / outputs));
      CHECK(to_vector(y) == expected);
    }
}
