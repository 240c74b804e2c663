// Time-series augmentation: what each change keeps, and that it draws from its generator alone.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "models/augment/series.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"

using namespace plumb;
using namespace plumb::augment;

namespace {

// x[i, c, t] = 100 i + 10 c + t: a straight line in time.
Tensor lines(int64_t batch, int64_t channels, int64_t length) {
  Tensor x = empty({batch, channels, length}, f32);
  float* p = x.data<float>();
  for (int64_t i = 0; i < batch; ++i)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t t = 0; t < length; ++t) *p++ = static_cast<float>(100 * i + 10 * c + t);
  return x;
}
std::vector<double> one(const Tensor& x, int64_t i, int64_t c) {
  auto all = to_vector(x);
  auto begin = all.begin() + (i * x.size(1) + c) * x.size(2);
  return {begin, begin + x.size(2)};
}

}  // namespace

TEST_CASE("series: jitter and scaling have their deviations") {
  Generator g(1);
  CHECK(std_dev(jitter(zeros({20, 2, 100}), 0.3, g)).item() == doctest::Approx(0.3).epsilon(0.05));  // relative deviation 0.011
  Tensor scaled = scale_channels(ones({1000, 2, 3}), 0.2, g);
  CHECK(mean(scaled).item() == doctest::Approx(1).epsilon(0.021));
  CHECK(std_dev(scaled).item() == doctest::Approx(0.2).epsilon(0.075));
  auto row = one(scaled, 5, 1);
  CHECK(row[0] == row[2]);  // one factor a channel
}

TEST_CASE("series: warps are smooth, keep their ends and do nothing without deviation") {
  Generator g(2);
  Tensor x = lines(10, 2, 40);
  auto unchanged = to_vector(x);
  auto same = [&](const Tensor& y) {
    auto got = to_vector(y);
    for (size_t k = 0; k < got.size(); ++k) CHECK(got[k] == doctest::Approx(unchanged[k]).epsilon(1e-5));
  };
  same(magnitude_warp(x, 0, 4, g));
  same(time_warp(x, 0, 4, g));
  same(window_slice(x, 1, g));
  same(window_warp(x, 0.3, 1, g));
  same(permute_segments(x, 1, g));
  Tensor curve = magnitude_warp(ones({4, 1, 101}), 0.2, 3, g);
  for (int64_t i = 0; i < 4; ++i) {
    auto v = one(curve, i, 0);
    for (size_t t = 1; t + 1 < v.size(); ++t)
      CHECK(std::abs(v[t + 1] - 2 * v[t] + v[t - 1]) < 0.02);  // second differences of a spline over 25 steps a knot
    CHECK(std::abs(v.front() - v.back()) > 1e-4);
  }
  for (const Tensor& y : {time_warp(x, 0.3, 4, g), window_warp(x, 0.25, 2, g)})
    for (int64_t i = 0; i < 10; ++i) {
      auto v = one(y, i, 1);
      CHECK(v.front() == doctest::Approx(100.0 * static_cast<double>(i) + 10));
      CHECK(v.back() == doctest::Approx(100.0 * static_cast<double>(i) + 49));
      CHECK(std::ranges::is_sorted(v));
      auto other = one(y, i, 0);
      for (size_t t = 0; t < v.size(); ++t) CHECK(v[t] - other[t] == doctest::Approx(10).epsilon(1e-4));  // channels move together
    }
}

TEST_CASE("series: pieces are permuted, windows stretched, stretches masked") {
  Generator g(3);
  Tensor x = lines(50, 2, 23);
  Tensor permuted = permute_segments(x, 5, g);
  int moved = 0;
  for (int64_t i = 0; i < 50; ++i) {
    auto v = one(permuted, i, 0), before = one(x, i, 0);
    moved += v != before;
    std::ranges::sort(v);
    CHECK(v == before);
  }
  CHECK(moved > 20);
  Tensor sliced = window_slice(x, 0.5, g);  // 12 of 23 steps: slope 11 / 22
  for (int64_t i = 0; i < 50; ++i) {
    auto v = one(sliced, i, 0);
    CHECK(v[7] - v[6] == doctest::Approx(0.5).epsilon(1e-3));
  }
  auto masked = to_vector(mask_stretch(ones({50, 2, 23}), 0.3, g));
  CHECK(std::ranges::count(masked, 0.0) == 50 * 2 * 6);
  auto points = to_vector(mask_points(ones({50, 2, 100}), 0.2, g));
  CHECK(std::abs(static_cast<double>(std::ranges::count(points, 0.0)) - 2000) < 180);  // 4.5 deviations of 40
  auto signs = to_vector(flip_signs(ones({500, 1, 1}), 0.5, g));
  CHECK(std::abs(static_cast<double>(std::ranges::count(signs, -1.0)) - 250) < 51);
}

TEST_CASE("series: equal generators give equal views, mistakes are named") {
  Tensor x = lines(3, 2, 16);
  auto once = [&] {
    Generator g(4);
    auto v = to_vector(strong_series_view()(x, g)), w = to_vector(weak_series_view()(x, g));
    v.insert(v.end(), w.begin(), w.end());
    return v;
  };
  CHECK(once() == once());
  Generator g(5);
  CHECK(time_warp(zeros({0, 1, 4}), 0.1, 2, g).numel() == 0);
  CHECK_THROWS_WITH_AS(jitter(zeros({3, 4}), 1, g), "jitter: takes series [B, C, L], got [3, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(jitter(x, -1, g), "jitter: sigma must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(window_slice(x, 0, g), "window_slice: the share must lie in (0, 1], it is 0", ValueError);
  CHECK_THROWS_WITH_AS(permute_segments(x, 0, g), "permute_segments: the most pieces must be at least 1, it is 0", ValueError);
}
