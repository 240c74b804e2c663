// Intervals for any statistic by resampling the examples (Efron 1979).
#pragma once
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "engine/core/generator.h"

namespace plumb {

struct BootstrapOptions {
  double level = 0.95;
  int64_t resamples = 2000;
  /// Percentiles of the resampled statistics moved for bias and skewness (BCa, Efron 1987), which costs a statistic per example more; plain
  /// percentiles if false.
  bool accelerated = true;
  Generator* generator = nullptr;  ///< default_generator() if null
};

struct BootstrapInterval {
  double estimate = 0;  ///< of the examples as they are
  double low = 0, high = 0;
  double standard_error = 0;  ///< standard deviation of the resampled statistics
};

/// `n` numbers drawn from 0 … n − 1 with replacement.
std::vector<int64_t> resample_indices(int64_t n, Generator& generator);

namespace detail {
Generator& checked_generator(int64_t n, const BootstrapOptions& options);
BootstrapInterval interval_of_resamples(double estimate, std::vector<double> resampled, std::span<const double> left_out, double level);
}  // namespace detail

/// statistic(std::span<const int64_t> examples) → double is called with 0 … n − 1, with each resample of n numbers, and, if accelerated,
/// with each example left out. A paired comparison of two models resamples the examples and takes the difference inside.
/// Throws ValueError unless n ≥ 2, 0 < level < 1 and resamples ≥ 2, or where a statistic is NaN.
template <typename Statistic>
BootstrapInterval bootstrap(int64_t n, Statistic&& statistic, const BootstrapOptions& options = {}) {
  Generator& generator = detail::checked_generator(n, options);
  std::vector<int64_t> all;
  for (int64_t i = 0; i < n; ++i) all.push_back(i);
  double estimate = statistic(std::span<const int64_t>(all));
  std::vector<double> resampled, left_out;
  for (int64_t r = 0; r < options.resamples; ++r) resampled.push_back(statistic(std::span<const int64_t>(resample_indices(n, generator))));
  if (options.accelerated) {
    std::vector<int64_t> others(all.begin() + 1, all.end());
    for (int64_t i = 0; i < n; ++i) {
      left_out.push_back(statistic(std::span<const int64_t>(others)));
      if (i + 1 < n) others[static_cast<size_t>(i)] = i;
    }
  }
  return detail::interval_of_resamples(estimate, std::move(resampled), left_out, options.level);
}

/// The interval of the mean.
BootstrapInterval bootstrap_mean(std::span<const double> values, const BootstrapOptions& options = {});

}  // namespace plumb
