// Distances within the groups of a few examples.
#include "models/metrics/diversity.h"

#include <limits>
#include <vector>

#include "engine/autograd/grad_mode.h"
#include "models/metrics/energy_distance.h"
#include "models/metrics/neighbours.h"
#include "ops/index.h"

namespace plumb::metrics {

double intra_cluster_distance(const Tensor& samples, const Tensor& examples) {
  NoGrad off;
  std::vector<std::vector<int64_t>> groups(static_cast<size_t>(examples.size(0)));
  std::vector<int64_t> nearest_example = to_vector<int64_t>(nearest(samples, examples).index);
  for (size_t i = 0; i < nearest_example.size(); ++i) groups[static_cast<size_t>(nearest_example[i])].push_back(static_cast<int64_t>(i));
  double sum = 0;
  int64_t counted = 0;
  for (const auto& group : groups) {
    auto n = static_cast<double>(group.size());
    if (n < 2) continue;
    Tensor rows = index_select(samples, 0, from_vector(group));
    sum += mean_distance(rows, rows) * n / (n - 1);  // without the pairs of a sample with itself
    ++counted;
  }
  return counted > 0 ? sum / static_cast<double>(counted) : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace plumb::metrics
