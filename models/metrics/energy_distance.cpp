// The energy distance.
#include "models/metrics/energy_distance.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/core/parallel.h"

namespace plumb::metrics {

double mean_distance(const Tensor& a, const Tensor& b) {
  if (a.rank() != 2 || b.rank() != 2 || a.size(1) != b.size(1) || a.numel() == 0 || b.numel() == 0)
    throw ShapeError("energy_distance: takes points [n, d] and [m, d], got " + to_string(a.shape()) + " and " + to_string(b.shape()));
  std::vector<double> x = to_vector(a), y = to_vector(b);
  auto n = static_cast<size_t>(a.size(0)), m = static_cast<size_t>(b.size(0)), d = static_cast<size_t>(a.size(1));
  std::vector<double> rows(n);  // summed in order after, whoever computed them
  parallel_for(static_cast<int64_t>(n), 16, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
      for (size_t j = 0; j < m; ++j) {
        double squared = 0;
        for (size_t k = 0; k < d; ++k) squared += (x[i * d + k] - y[j * d + k]) * (x[i * d + k] - y[j * d + k]);
        rows[i] += std::sqrt(squared);
      }
  });
  double total = 0;
  for (double row : rows) total += row;
  return total / (static_cast<double>(n) * static_cast<double>(m));
}

double energy_distance(const Tensor& a, const Tensor& b) {
  return std::max(2 * mean_distance(a, b) - mean_distance(a, a) - mean_distance(b, b), 0.0);
}

}  // namespace plumb::metrics
