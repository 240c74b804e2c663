// Inverse participation ratios of spectra.
#include "models/metrics/participation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/core/error.h"
#include "ops/elementary.h"
#include "ops/fft.h"
#include "ops/reduce.h"

namespace plumb {
namespace {

// Of squared magnitudes F_k²: Σ (F_k² / Σ F²)^r.
double ratio(std::span<const double> squares, int r) {
  double total = 0, sum = 0;
  for (double s : squares) total += s;
  if (total == 0) return std::numeric_limits<double>::quiet_NaN();
  for (double s : squares) sum += std::pow(s / total, r);
  return sum;
}

}  // namespace

std::vector<double> inverse_participation_ratios(const Tensor& rows, int r) {
  if (r < 1) throw ValueError(fmt::format("inverse_participation_ratio: the order must be 1 or more, it is {}", r));
  if (rows.rank() != 2 || rows.size(1) < 1)
    throw ShapeError("inverse_participation_ratio: takes a matrix with columns, got " + to_string(rows.shape()));
  // Each row is scaled by its largest number first, so that squares of tiny weights do not vanish.
  std::vector<double> values = to_vector(rows), out;
  auto n = static_cast<size_t>(rows.size(1));
  for (size_t row = 0; row < static_cast<size_t>(rows.size(0)); ++row) {
    double largest = 0;
    for (size_t i = 0; i < n; ++i) {
      double v = std::abs(values[row * n + i]);
      if (!std::isfinite(v)) throw ValueError(fmt::format("inverse_participation_ratio: row {} has a number that is not finite", row));
      largest = std::max(largest, v);
    }
    if (largest > 0)
      for (size_t i = 0; i < n; ++i) values[row * n + i] /= largest;
  }
  if (rows.size(0) == 0) return out;
  Tensor squares = sum(square(rfft(from_vector(values, rows.shape()))), {-1});
  std::vector<double> all = to_vector(squares);
  size_t m = n / 2 + 1;
  for (size_t row = 0; row < static_cast<size_t>(rows.size(0)); ++row) out.push_back(ratio(std::span(all).subspan(row * m, m), r));
  return out;
}

double inverse_participation_ratio(std::span<const double> a, int r) {
  if (a.empty()) throw ValueError("inverse_participation_ratio: there are no numbers");
  double value =
      inverse_participation_ratios(from_vector(std::vector<double>(a.begin(), a.end()), {1, static_cast<int64_t>(a.size())}), r)[0];
  if (std::isnan(value)) throw ValueError("inverse_participation_ratio: all numbers are 0");
  return value;
}

}  // namespace plumb
