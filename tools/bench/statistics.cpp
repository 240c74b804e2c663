// Means of logarithms.
#include "tools/bench/statistics.h"

#include <algorithm>
#include <cmath>

#include "models/metrics/intervals.h"

namespace plumb::tools {

double median(std::vector<double> values) {
  std::ranges::sort(values);
  size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

Estimate estimate(std::span<const double> rounds) {
  std::vector<double> logs;
  for (double x : rounds) logs.push_back(std::log(x));
  Interval mean = t_interval(logs);
  double half = logs.size() > 1 ? mean.half_width : 0;
  return {std::exp(mean.mean), std::exp(mean.mean - half), std::exp(mean.mean + half)};
}

Estimate ratio(std::span<const double> a, std::span<const double> b) {
  std::vector<double> ratios;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) ratios.push_back(a[i] / b[i]);
  return estimate(ratios);
}

double exponent(std::span<const double> x, std::span<const double> y) {
  double mean_x = 0, mean_y = 0, xx = 0, xy = 0;
  for (size_t i = 0; i < x.size(); ++i)
    mean_x += std::log(x[i]) / static_cast<double>(x.size()), mean_y += std::log(y[i]) / static_cast<double>(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    double from_mean = std::log(x[i]) - mean_x;
    xx += from_mean * from_mean;
    xy += from_mean * (std::log(y[i]) - mean_y);
  }
  return xy / xx;
}

}  // namespace plumb::tools
