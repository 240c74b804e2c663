// Random changes to time series: numbers are drawn first, series by series.
#include "models/augment/series.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "engine/data/internal/portable_math.h"
#include "models/augment/internal/images.h"
#include "ops/pointwise.h"
#include "ops/random.h"

namespace plumb::augment {
namespace {

using detail::require;

struct Extent {
  int64_t batch, channels, length;
};

Extent extent(const char* name, const Tensor& x) {
  if (x.dtype() != f32) throw DTypeError(std::string(name) + ": takes f32 series, got " + std::string(plumb::name(x.dtype())));
  if (x.rank() != 3) throw ShapeError(std::string(name) + ": takes series [B, C, L], got " + to_string(x.shape()));
  if (x.device().type != DeviceType::cpu) throw DeviceError(std::string(name) + ": works on the CPU");
  return {x.size(0), x.size(1), x.size(2)};
}

size_t below(int64_t n, Generator& g) { return static_cast<size_t>(g.next_below(static_cast<uint64_t>(n))); }

/// f(series, from, to) with rows of channels, one after the other: generators stay in order.
template <typename F>
Tensor each_series(const char* name, const Tensor& x, F&& f) {
  Extent e = extent(name, x);
  Tensor dense = contiguous_data(x), out = empty(x.shape(), f32, cpu, name);
  for (int64_t i = 0; i < e.batch; ++i) f(dense.data<float>() + i * e.channels * e.length, out.data<float>() + i * e.channels * e.length);
  return out;
}

/// The channel at time t, between steps on a straight line.
float at_time(const float* channel, int64_t length, double t) {
  t = std::clamp(t, 0.0, static_cast<double>(length - 1));
  auto before = static_cast<int64_t>(t);
  int64_t after = std::min(before + 1, length - 1);
  auto w = static_cast<float>(t - static_cast<double>(before));
  return channel[before] * (1 - w) + channel[after] * w;
}

/// Every channel read at the times given.
void read_at(const std::vector<double>& times, const Extent& e, const float* from, float* to) {
  for (int64_t c = 0; c < e.channels; ++c)
    for (int64_t t = 0; t < e.length; ++t) to[c * e.length + t] = at_time(from + c * e.length, e.length, times[static_cast<size_t>(t)]);
}

// The natural cubic spline through evenly spaced values, at `length` evenly spaced places from the first to the last.
std::vector<double> spline(const std::vector<double>& y, int64_t length) {
  size_t n = y.size();
  std::vector<double> second(n), upper(n), right(n);  // second derivatives by the tridiagonal system m_{i−1} + 4 m_i + m_{i+1} = 6 Δ²y
  for (size_t i = 1; i + 1 < n; ++i) {
    double pivot = 4 - upper[i - 1];
    upper[i] = 1 / pivot;
    right[i] = (6 * (y[i + 1] - 2 * y[i] + y[i - 1]) - right[i - 1]) / pivot;
  }
  for (size_t i = n - 1; i-- > 1;) second[i] = right[i] - upper[i] * second[i + 1];
  std::vector<double> out;
  for (int64_t t = 0; t < length; ++t) {
    double u = length > 1 ? static_cast<double>(t) / static_cast<double>(length - 1) * static_cast<double>(n - 1) : 0;
    auto i = std::min(static_cast<size_t>(u), n - 2);
    double b = u - static_cast<double>(i), a = 1 - b;
    out.push_back(a * y[i] + b * y[i + 1] + ((a * a * a - a) * second[i] + (b * b * b - b) * second[i + 1]) / 6);
  }
  return out;
}

std::vector<double> random_curve(double sigma, int64_t knots, int64_t length, Generator& g) {
  std::vector<double> points;
  for (int64_t k = 0; k < knots + 2; ++k) points.push_back(1 + sigma * data::normal(g));
  return spline(points, length);
}

void check_curve(const char* name, double sigma, int64_t knots) {
  require(sigma >= 0, name, "sigma", "not be negative", sigma);
  require(knots >= 0, name, "the number of knots", "not be negative", static_cast<double>(knots));
}

/// A uniform place for `width` steps of `length`.
int64_t place_for(int64_t width, int64_t length, Generator& g) { return static_cast<int64_t>(below(length - width + 1, g)); }

}  // namespace

Tensor jitter(const Tensor& series, double sigma, Generator& generator) {
  extent("jitter", series);
  require(sigma >= 0, "jitter", "sigma", "not be negative", sigma);
  return series.detach() + sigma * randn(series.shape(), {.generator = &generator});
}

Tensor scale_channels(const Tensor& series, double sigma, Generator& generator) {
  Extent e = extent("scale_channels", series);
  require(sigma >= 0, "scale_channels", "sigma", "not be negative", sigma);
  return series.detach() * (1 + sigma * randn({e.batch, e.channels, 1}, {.generator = &generator}));
}

Tensor magnitude_warp(const Tensor& series, double sigma, int64_t knots, Generator& generator) {
  Extent e = extent("magnitude_warp", series);
  check_curve("magnitude_warp", sigma, knots);
  return each_series("magnitude_warp", series, [&](const float* from, float* to) {
    for (int64_t c = 0; c < e.channels; ++c) {
      auto curve = random_curve(sigma, knots, e.length, generator);
      for (int64_t t = 0; t < e.length; ++t)
        to[c * e.length + t] = from[c * e.length + t] * static_cast<float>(curve[static_cast<size_t>(t)]);
    }
  });
}

Tensor time_warp(const Tensor& series, double sigma, int64_t knots, Generator& generator) {
  Extent e = extent("time_warp", series);
  check_curve("time_warp", sigma, knots);
  return each_series("time_warp", series, [&](const float* from, float* to) {
    auto speed = random_curve(sigma, knots, e.length, generator);
    std::vector<double> times(speed.size());
    for (size_t t = 1; t < times.size(); ++t) times[t] = times[t - 1] + std::max(0.05, 0.5 * (speed[t - 1] + speed[t]));
    double scale = times.size() > 1 ? static_cast<double>(e.length - 1) / times.back() : 1;
    for (double& t : times) t *= scale;
    read_at(times, e, from, to);
  });
}

Tensor permute_segments(const Tensor& series, int64_t most, Generator& generator) {
  Extent e = extent("permute_segments", series);
  require(most >= 1, "permute_segments", "the most pieces", "be at least 1", static_cast<double>(most));
  return each_series("permute_segments", series, [&](const float* from, float* to) {
    auto pieces = std::min(e.length, static_cast<int64_t>(below(most, generator)) + 1);
    std::vector<int64_t> order;
    for (int64_t k = 0; k < pieces; ++k) order.push_back(k);
    for (size_t k = order.size(); k > 1; --k) std::swap(order[k - 1], order[below(static_cast<int64_t>(k), generator)]);
    int64_t at = 0;
    for (int64_t piece : order) {
      int64_t begin = piece * e.length / pieces, end = (piece + 1) * e.length / pieces;
      for (int64_t c = 0; c < e.channels; ++c) std::copy(from + c * e.length + begin, from + c * e.length + end, to + c * e.length + at);
      at += end - begin;
    }
  });
}

Tensor window_slice(const Tensor& series, double share, Generator& generator) {
  Extent e = extent("window_slice", series);
  require(share > 0 && share <= 1, "window_slice", "the share", "lie in (0, 1]", share);
  auto width = static_cast<int64_t>(std::ceil(share * static_cast<double>(e.length)));
  return each_series("window_slice", series, [&](const float* from, float* to) {
    int64_t begin = place_for(width, e.length, generator);
    std::vector<double> times;
    double step = e.length > 1 ? static_cast<double>(width - 1) / static_cast<double>(e.length - 1) : 0;
    for (int64_t t = 0; t < e.length; ++t) times.push_back(static_cast<double>(begin) + step * static_cast<double>(t));
    read_at(times, e, from, to);
  });
}

Tensor window_warp(const Tensor& series, double share, double slow, Generator& generator) {
  Extent e = extent("window_warp", series);
  require(share > 0 && share <= 1, "window_warp", "the share", "lie in (0, 1]", share);
  require(slow > 0, "window_warp", "the speed", "be positive", slow);
  auto width = static_cast<int64_t>(std::ceil(share * static_cast<double>(e.length)));
  return each_series("window_warp", series, [&](const float* from, float* to) {
    int64_t begin = place_for(width, e.length, generator);
    double pace = generator.next_below(2) ? slow : 1 / slow;  // of time inside the window
    std::vector<double> reached{0};                           // warped time at each original step
    for (int64_t t = 1; t < e.length; ++t) reached.push_back(reached.back() + (t > begin && t <= begin + width ? 1 / pace : 1));
    std::vector<double> times;
    size_t k = 0;
    for (int64_t t = 0; t < e.length; ++t) {
      double wanted = e.length > 1 ? reached.back() * static_cast<double>(t) / static_cast<double>(e.length - 1) : 0;
      while (k + 2 < reached.size() && reached[k + 1] < wanted) ++k;
      times.push_back(reached.size() > 1 ? static_cast<double>(k) + (wanted - reached[k]) / (reached[k + 1] - reached[k]) : 0);
    }
    read_at(times, e, from, to);
  });
}

Tensor flip_signs(const Tensor& series, double rate, Generator& generator) {
  Extent e = extent("flip_signs", series);
  require(rate >= 0 && rate <= 1, "flip_signs", "the rate", "lie in [0, 1]", rate);
  return series.detach() * (1 - 2 * bernoulli({e.batch, e.channels, 1}, rate, {.dtype = f32, .generator = &generator}));
}

Tensor mask_stretch(const Tensor& series, double share, Generator& generator) {
  Extent e = extent("mask_stretch", series);
  require(share >= 0 && share <= 1, "mask_stretch", "the share", "lie in [0, 1]", share);
  auto width = static_cast<int64_t>(share * static_cast<double>(e.length));
  return each_series("mask_stretch", series, [&](const float* from, float* to) {
    int64_t begin = place_for(width, e.length, generator);
    std::copy(from, from + e.channels * e.length, to);
    for (int64_t c = 0; c < e.channels; ++c) std::fill(to + c * e.length + begin, to + c * e.length + begin + width, 0.0f);
  });
}

Tensor mask_points(const Tensor& series, double rate, Generator& generator) {
  extent("mask_points", series);
  require(rate >= 0 && rate <= 1, "mask_points", "the rate", "lie in [0, 1]", rate);
  return series.detach() * bernoulli(series.shape(), 1 - rate, {.dtype = f32, .generator = &generator});
}

SeriesView weak_series_view(double scale, double noise) {
  return [=](const Tensor& x, Generator& g) { return jitter(scale_channels(x, scale, g), noise, g); };
}

SeriesView strong_series_view(int64_t segments, double noise) {
  return [=](const Tensor& x, Generator& g) { return jitter(permute_segments(x, segments, g), noise, g); };
}

}  // namespace plumb::augment
