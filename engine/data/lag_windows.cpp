// Windows of lags by plain loops over the series.
#include "engine/data/lag_windows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"

namespace plumb::data {
namespace {

void check_series(const char* op, const Tensor& series) {
  if (series.rank() != 1) throw ShapeError(fmt::format("{}: takes a series [N], got {}", op, to_string(series.shape())));
  if (series.dtype() != f32 && series.dtype() != f64)
    throw DTypeError(fmt::format("{}: takes f32 or f64, not {}", op, name(series.dtype())));
}

void check_sizes(int64_t steps, int64_t p, int64_t h) {
  if (p < 1 || h < 1) throw ValueError(fmt::format("lag_matrix: order and horizon must be at least 1, they are {} and {}", p, h));
  if (steps < p + h)
    throw ValueError(fmt::format("lag_matrix: the series has {} values; order {} and horizon {} need {} or more", steps, p, h, p + h));
}

// reach[t]: how many values in a row, ending with that before t, are there.
template <typename T>
std::vector<int64_t> runs_before(const T* y, int64_t steps) {
  std::vector<int64_t> reach(static_cast<size_t>(steps) + 1, 0);
  for (int64_t t = 0; t < steps; ++t) {
    if (std::isinf(y[t])) throw ValueError(fmt::format("lag_matrix: value {} of the series is infinite", t));
    reach[static_cast<size_t>(t) + 1] = std::isnan(y[t]) ? 0 : reach[static_cast<size_t>(t)] + 1;
  }
  return reach;
}

template <typename T>
LagMatrix windows(const Tensor& series, int64_t p, int64_t h, int64_t from, int64_t to) {
  const T* y = series.data<T>();
  std::vector<int64_t> reach = runs_before(y, series.numel());
  LagMatrix m;
  for (int64_t t = std::max(p, from); t + h <= to; ++t)
    if (reach[static_cast<size_t>(t + h)] >= p + h) m.first.push_back(t);
  m.inputs = empty({m.rows(), p}, series.dtype(), cpu, "lag_matrix");
  m.targets = empty({m.rows(), h}, series.dtype(), cpu, "lag_matrix");
  T *in = m.inputs.data<T>(), *out = m.targets.data<T>();
  for (int64_t t : m.first) {
    for (int64_t k = 1; k <= p; ++k) *in++ = y[t - k];
    for (int64_t k = 0; k < h; ++k) *out++ = y[t + k];
  }
  return m;
}

}  // namespace

LagMatrix make_lag_matrix(const Tensor& series, int64_t p, int64_t h) {
  check_series("lag_matrix", series);
  check_sizes(series.numel(), p, h);
  std::vector<double> values = to_vector(series);
  for (size_t t = 0; t < values.size(); ++t)
    if (std::isnan(values[t])) throw ValueError(fmt::format("lag_matrix: value {} of the series is missing", t));
  return complete_lag_matrix(series, p, h);
}

LagMatrix complete_lag_matrix(const Tensor& series, int64_t p, int64_t h, int64_t from, int64_t to) {
  check_series("lag_matrix", series);
  int64_t steps = series.numel(), end = to < 0 ? steps : to;
  check_sizes(steps, p, h);
  if (from < 0 || end > steps || from > end)
    throw ValueError(fmt::format("lag_matrix: targets from {} to {} of a series of {} values", from, end, steps));
  Tensor row = contiguous_data(series);
  return series.dtype() == f64 ? windows<double>(row, p, h, from, end) : windows<float>(row, p, h, from, end);
}

Tensor fill_gaps(const Tensor& series, int64_t longest) {
  check_series("fill_gaps", series);
  if (longest < 0) throw ValueError(fmt::format("fill_gaps: the longest gap must not be negative, it is {}", longest));
  std::vector<double> y = to_vector(series);
  for (size_t t = 0; t < y.size();) {
    if (!std::isnan(y[t])) {
      ++t;
      continue;
    }
    size_t end = t;
    while (end < y.size() && std::isnan(y[end])) ++end;
    if (t > 0 && end < y.size() && static_cast<int64_t>(end - t) <= longest) {
      double before = y[t - 1], slope = (y[end] - before) / static_cast<double>(end - t + 1);
      for (size_t k = t; k < end; ++k) y[k] = before + slope * static_cast<double>(k - t + 1);
    }
    t = end;
  }
  Tensor filled = empty(series.shape(), series.dtype(), cpu, "fill_gaps");
  copy_data(from_vector(y), filled);
  return filled;
}

SeriesScaling series_scaling(const Tensor& series, int64_t end) {
  check_series("series_scaling", series);
  std::vector<double> y = to_vector(series);
  if (end >= 0 && static_cast<size_t>(end) < y.size()) y.resize(static_cast<size_t>(end));
  double total = 0, count = 0, squares = 0;
  for (double v : y)
    if (!std::isnan(v)) total += v, ++count;
  if (count == 0) throw ValueError(fmt::format("series_scaling: all {} values are missing", y.size()));
  SeriesScaling scaling{total / count, 1};
  for (double v : y)
    if (!std::isnan(v)) squares += (v - scaling.mean) * (v - scaling.mean);
  if (squares > 0) scaling.deviation = std::sqrt(squares / count);
  return scaling;
}

Tensor scale_series(const Tensor& series, const SeriesScaling& scaling) {
  check_series("scale_series", series);
  std::vector<double> y = to_vector(series);
  for (double& v : y) v = (v - scaling.mean) / scaling.deviation;
  Tensor scaled = empty(series.shape(), series.dtype(), cpu, "scale_series");
  copy_data(from_vector(y), scaled);
  return scaled;
}

}  // namespace plumb::data
