// The arithmetic behind bootstrap intervals.
#include "models/metrics/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/core/error.h"
#include "models/metrics/normal.h"

namespace plumb {
namespace {

// The value below which a share q of the ascending values lies, interpolated.
double quantile_of(const std::vector<double>& ascending, double q) {
  double place = std::clamp(q, 0.0, 1.0) * static_cast<double>(ascending.size() - 1);
  size_t below = std::min(static_cast<size_t>(place), ascending.size() - 2);
  return ascending[below] + (place - static_cast<double>(below)) * (ascending[below + 1] - ascending[below]);
}

double mean_of(std::span<const double> v) {
  double mean = 0;
  for (double x : v) mean += x / static_cast<double>(v.size());
  return mean;
}

// a = Σ (m − j_i)³ / (6 (Σ (m − j_i)²)^(3/2)) of the statistics j_i with one example left out: how fast the spread grows with the value.
double acceleration(std::span<const double> left_out) {
  double mean = mean_of(left_out), squares = 0, cubes = 0;
  for (double x : left_out) squares += (mean - x) * (mean - x), cubes += (mean - x) * (mean - x) * (mean - x);
  return squares == 0 ? 0 : cubes / (6 * std::pow(squares, 1.5));
}

}  // namespace

std::vector<int64_t> resample_indices(int64_t n, Generator& generator) {
  std::vector<int64_t> indices;
  indices.reserve(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) indices.push_back(static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(n))));
  return indices;
}

Generator& detail::checked_generator(int64_t n, const BootstrapOptions& o) {
  if (n < 2) throw ValueError("bootstrap: needs at least 2 examples, got " + std::to_string(n));
  if (!(o.level > 0 && o.level < 1)) throw ValueError("bootstrap: level must lie in (0, 1), got " + decimal(o.level));
  if (o.resamples < 2) throw ValueError("bootstrap: needs at least 2 resamples, got " + std::to_string(o.resamples));
  return o.generator ? *o.generator : default_generator();
}

BootstrapInterval detail::interval_of_resamples(double estimate, std::vector<double> resampled, std::span<const double> left_out,
                                                double level) {
  if (std::isnan(estimate)) throw ValueError("bootstrap: the statistic of the examples is NaN");
  for (double v : resampled)
    if (std::isnan(v)) throw ValueError("bootstrap: the statistic of a resample is NaN");
  for (double v : left_out)
    if (std::isnan(v)) throw ValueError("bootstrap: the statistic without one of the examples is NaN");
  std::ranges::sort(resampled);
  double mean = mean_of(resampled), squares = 0, below = 0, count = static_cast<double>(resampled.size());
  for (double v : resampled) {
    squares += (v - mean) * (v - mean);
    below += v < estimate ? 1 : v == estimate ? 0.5 : 0;
  }
  double low = (1 - level) / 2, high = (1 + level) / 2;
  if (!left_out.empty() && below > 0 && below < count) {
    double bias = normal_quantile(below / count), a = acceleration(left_out);
    auto moved = [&](double q) {
      double z = bias + normal_quantile(q);
      return normal_cdf(bias + z / (1 - a * z));
    };
    low = moved(low), high = moved(high);
  }
  return {estimate, quantile_of(resampled, low), quantile_of(resampled, high), std::sqrt(squares / (count - 1))};
}

BootstrapInterval bootstrap_mean(std::span<const double> values, const BootstrapOptions& options) {
  auto mean = [&](std::span<const int64_t> examples) {
    double total = 0;
    for (int64_t i : examples) total += values[static_cast<size_t>(i)];
    return total / static_cast<double>(examples.size());
  };
  return bootstrap(static_cast<int64_t>(values.size()), mean, options);
}

}  // namespace plumb
