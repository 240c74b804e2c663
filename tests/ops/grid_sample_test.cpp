// Reading at places against plain loops, for every mode, padding and corner rule; identities, gradients' sums, errors.
#include "ops/grid_sample.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/backward.h"
#include "ops/create.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::test;

namespace {

double place_of(double g, double size, bool aligned) { return aligned ? (g + 1) / 2 * (size - 1) : ((g + 1) * size - 1) / 2; }

// Where a coordinate beyond the image is read instead.
double moved(double u, double size, const GridSampleOptions& o) {
  if (o.padding == GridPadding::zeros) return u;
  if (o.padding == GridPadding::reflection) {
    double low = o.align_corners ? 0 : -0.5, high = o.align_corners ? size - 1 : size - 0.5;
    if (high <= low) return 0;
    while (u < low || u > high) u = u < low ? 2 * low - u : 2 * high - u;
  }
  return std::min(std::max(u, 0.0), size - 1);
}

double cubic(double d) {
  d = std::abs(d);
  constexpr double a = -0.75;
  return d <= 1 ? (a + 2) * d * d * d - (a + 3) * d * d + 1 : d < 2 ? a * d * d * d - 5 * a * d * d + 8 * a * d - 4 * a : 0;
}

// The weight of place `at` for a reading at coordinate g.
double weight(double g, int64_t at, int64_t length, const GridSampleOptions& o) {
  double size = static_cast<double>(length), u = place_of(g, size, o.align_corners), k = static_cast<double>(at);
  if (o.mode == Interpolation::nearest) return std::nearbyint(moved(u, size, o)) == k;
  if (o.mode == Interpolation::linear) return std::max(0.0, 1 - std::abs(moved(u, size, o) - k));
  double sum = 0;  // taps beyond the image fall on it
  for (double tap = std::floor(u) - 1; tap <= std::floor(u) + 2; ++tap) sum += moved(tap, size, o) == k ? cubic(u - tap) : 0;
  return sum;
}

// x [N, C, H, W] or [N, C, D, H, W], grid accordingly, all weights of all places.
std::vector<double> plain(const Tensor& x, const Tensor& grid, const GridSampleOptions& o) {
  bool volume = x.rank() == 5;
  int64_t n = x.size(0), c = x.size(1), depth = volume ? x.size(2) : 1, h = x.size(-2), w = x.size(-1),
          points = grid.numel() / n / (volume ? 3 : 2);
  std::vector<double> v = to_vector(x), g = to_vector(grid), y;
  for (int64_t b = 0; b < n; ++b)
    for (int64_t k = 0; k < c; ++k)
      for (int64_t p = 0; p < points; ++p) {
        const double* at = g.data() + (b * points + p) * (volume ? 3 : 2);
        double sum = 0;
        for (int64_t d = 0; d < depth; ++d)
          for (int64_t i = 0; i < h; ++i)
            for (int64_t j = 0; j < w; ++j)
              sum += v[static_cast<size_t>((((b * c + k) * depth + d) * h + i) * w + j)] * weight(at[0], j, w, o) * weight(at[1], i, h, o) *
                     (volume ? weight(at[2], d, depth, o) : 1);
        y.push_back(sum);
      }
  return y;
}

const GridPadding kPaddings[] = {GridPadding::zeros, GridPadding::border, GridPadding::reflection};

}  // namespace

TEST_CASE("grid_sample: every mode, padding and corner rule as loops compute it, for any strides") {
  Tensor grid = sample({2, 5, 4, 2}, 2, f64, -2.3, 2.3);
  for (Shape shape : {Shape{2, 3, 5, 6}, Shape{2, 1, 1, 4}})
    for (Interpolation mode : {Interpolation::linear, Interpolation::nearest, Interpolation::bicubic})
      for (GridPadding padding : kPaddings)
        for (bool aligned : {false, true}) {
          GridSampleOptions o{mode, padding, aligned};
          CAPTURE(static_cast<int>(mode));
          CAPTURE(static_cast<int>(padding));
          CAPTURE(aligned);
          Tensor x = sample(shape, 1), y = grid_sample(strided(x), strided(grid), o);
          CHECK(y.shape() == Shape{2, shape[1], 5, 4});
          CHECK(difference(reshape(y, {y.numel()}), from_vector(plain(x, grid, o))) < 1e-12);
        }
}

TEST_CASE("grid_sample: volumes as loops compute them") {
  Tensor x = sample({2, 2, 3, 4, 2}, 1), grid = sample({2, 2, 3, 2, 3}, 2, f64, -1.7, 1.7);
  for (Interpolation mode : {Interpolation::linear, Interpolation::nearest})
    for (GridPadding padding : kPaddings) {
      GridSampleOptions o{mode, padding, false};
      Tensor y = grid_sample(x, grid, o);
      CHECK(y.shape() == Shape{2, 2, 2, 3, 2});
      CHECK(difference(reshape(y, {y.numel()}), from_vector(plain(x, grid, o))) < 1e-12);
    }
}

TEST_CASE("grid_sample: the identity map gives the image, a turned one the turned image") {
  Tensor x = sample({1, 2, 4, 6}, 1);
  for (bool aligned : {false, true}) {
    Tensor same = affine_grid(tensor({{{1.0, 0.0, 0.0}, {0.0, 1.0, 0.0}}}, f64), {4, 6}, aligned);
    CHECK(difference(grid_sample(x, same, {.align_corners = aligned}), x) < 1e-14);
    Tensor turned = affine_grid(tensor({{{0.0, 1.0, 0.0}, {1.0, 0.0, 0.0}}}, f64), {6, 4}, aligned);
    CHECK(difference(grid_sample(x, turned, {.align_corners = aligned}), transpose(x, 2, 3)) < 1e-14);
  }
  Tensor grid = affine_grid(tensor({{{2.0, 3.0, 5.0}, {7.0, 11.0, 13.0}}}, f64), {1, 2});  // places at (±½, 0)
  CHECK(to_vector(grid) == std::vector<double>{4, 9.5, 6, 16.5});
  Tensor volume = affine_grid(tensor({{{1.0, 0.0, 0.0, 0.0}, {0.0, 1.0, 0.0, 0.0}, {0.0, 0.0, 1.0, 0.0}}}, f64), {2, 3, 4}),
         v = sample({1, 1, 2, 3, 4}, 3);
  CHECK(difference(grid_sample(v, volume), v) < 1e-14);
}

TEST_CASE("grid_sample: NaN and far coordinates are outside, and have finite gradients") {
  Tensor x = ones({1, 1, 3, 3}, f64).requires_grad_(),
         grid = tensor({{{{double(NAN), 0.0}, {1e30, 0.0}, {-INFINITY, 0.0}, {0.0, 0.0}}}}, f64).requires_grad_();
  Tensor y = grid_sample(x, grid);
  CHECK(to_vector(y) == std::vector<double>{0, 0, 0, 1});
  sum(y).backward();
  CHECK(to_vector(sum(x.grad(), {}))[0] == 1);
  CHECK(all(isfinite(x.grad())).item() == 1);
  Tensor border = grid_sample(x.detach(), grid.detach(), {.padding = GridPadding::border});
  CHECK(to_vector(border) == std::vector<double>{1, 1, 1, 1});
}

TEST_CASE("grid_sample: types, empty results and errors") {
  Tensor x = sample({1, 2, 3, 3}, 1, bf16), grid = sample({1, 2, 2, 2}, 2, f32, -1, 1);
  CHECK(grid_sample(x, grid).dtype() == bf16);
  CHECK(difference(to(grid_sample(x, grid), f64), grid_sample(to(x, f64), to(grid, f64))) < 0x1p-7);
  CHECK(grid_sample(x, zeros({1, 0, 2, 2})).shape() == Shape{1, 2, 0, 2});
  CHECK(grid_sample(zeros({0, 2, 3, 3}), zeros({0, 2, 2, 2})).shape() == Shape{0, 2, 2, 2});
  CHECK_THROWS_WITH_AS(grid_sample(zeros({1, 2, 3, 3}), zeros({1, 2, 2, 3})),
                       "grid_sample: takes x [N, C, H, W] with grid [N, H', W', 2], or x [N, C, D, H, W] with grid [N, D', H', W', 3], not "
                       "[1, 2, 3, 3] and [1, 2, 2, 3]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(grid_sample(zeros({1, 2, 0, 3}), zeros({1, 2, 2, 2})), "grid_sample: x [1, 2, 0, 3] has no places to read",
                       ShapeError);
  CHECK_THROWS_WITH_AS(grid_sample(zeros({1, 2, 3, 3}), zeros({1, 2, 2, 2}), {.mode = Interpolation::area}),
                       "grid_sample: the mode is linear, nearest or bicubic, not area", ValueError);
  CHECK_THROWS_WITH_AS(grid_sample(zeros({1, 2, 3, 3, 3}), zeros({1, 2, 2, 2, 3}), {.mode = Interpolation::bicubic}),
                       "grid_sample: volumes are read linear or nearest, not bicubic", ValueError);
  CHECK_THROWS_WITH_AS(grid_sample(zeros({1, 2, 3, 3}, i64), zeros({1, 2, 2, 2})), "grid_sample: does not take i64 tensors", DTypeError);
  CHECK_THROWS_WITH_AS(affine_grid(zeros({1, 3, 3}), {2, 2}),
                       "affine_grid: takes theta [N, 2, 3] with a size [H, W], or [N, 3, 4] with [D, H, W], not [1, 3, 3] and [2, 2]",
                       ShapeError);
}
