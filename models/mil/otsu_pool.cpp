// Pooling by Otsu's threshold.
#include "models/mil/otsu_pool.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/sort.h"

namespace plumb::mil {

OtsuSplit otsu_split(const std::vector<double>& a) {
  size_t n = a.size();
  if (n < 3) throw ValueError("otsu_split: " + std::to_string(n) + " values; takes at least 3");
  if (!std::ranges::is_sorted(a)) throw ValueError("otsu_split: the values are not ascending");
  // About the middle, so that squares do not cancel.
  double middle = a[n / 2], all = 0, all_squares = 0, largest = 0;
  for (double x : a) {
    all += x - middle;
    all_squares += (x - middle) * (x - middle);
  }
  OtsuSplit best;
  double count = static_cast<double>(n), sum = 0;
  largest = all_squares / count;
  for (size_t p = 1; p < n; ++p) {
    sum += a[p - 1] - middle;
    double lower = static_cast<double>(p), upper = count - lower, rest = all - sum;
    double within = std::max(0.0, (all_squares - sum * sum / lower - rest * rest / upper) / count);  // Σ x² − Σ n_g mean_g²
    if (p == 1 || within < best.within - 1e-12 * largest) best = {static_cast<int64_t>(p), within};
  }
  return best;
}

int64_t otsu_count(int64_t below, int64_t n, double portion) {
  int64_t p = std::max(below, n / 2 + 1);
  return std::max<int64_t>(1, static_cast<int64_t>(std::floor(static_cast<double>(n - p) * portion)));
}

Tensor otsu_pool(const Tensor& maps, double portion) {
  if (!(portion > 0 && portion <= 1)) throw ValueError("otsu_pool: the portion must lie in (0, 1], it is " + decimal(portion));
  if (maps.rank() < 2) throw ShapeError("otsu_pool: takes maps [B, ..], got " + to_string(maps.shape()));
  Tensor bags = flatten(maps, 1);
  int64_t count = bags.size(0), n = bags.size(1);
  if (n < 3) throw ValueError("otsu_pool: a map of " + std::to_string(n) + " cells; takes at least 3");
  Tensor chosen = zeros({count, n}, bags.dtype());
  {
    NoGrad no_grad;
    auto [values, places] = sort(bags.detach(), 1, true);
    auto falling = to_vector(values);
    auto at = to_vector<int64_t>(places);
    std::vector<double> weight(falling.size());
    for (size_t b = 0; b < static_cast<size_t>(count); ++b) {
      auto first = falling.begin() + static_cast<int64_t>(b) * n;
      std::vector<double> ascending(std::make_reverse_iterator(first + n), std::make_reverse_iterator(first));
      int64_t k = otsu_count(otsu_split(ascending).below, n, portion);
      for (size_t r = 0; r < static_cast<size_t>(k); ++r)
        weight[b * static_cast<size_t>(n) + static_cast<size_t>(at[b * static_cast<size_t>(n) + r])] = 1 / static_cast<double>(k);
    }
    chosen = to(from_vector(weight, {count, n}), bags.dtype());
  }
  return sum(bags * chosen, {1});
}

}  // namespace plumb::mil
