// Entropies of counted columns; mutual information is H(A) + H(B) − H(A, B).
#include "models/metrics/mutual_information.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/core/error.h"

namespace plumb::metrics {
namespace {

void check(const char* op, size_t rows, const std::vector<double>& weights) {
  if (rows == 0) throw ValueError(fmt::format("{}: there are no rows", op));
  if (weights.empty()) return;
  if (weights.size() != rows) throw ShapeError(fmt::format("{}: {} weights for {} rows", op, weights.size(), rows));
  double total = 0;
  for (double w : weights) {
    if (!(w >= 0 && std::isfinite(w))) throw ValueError(fmt::format("{}: weights must not be negative, one is {}", op, w));
    total += w;
  }
  if (total == 0) throw ValueError(fmt::format("{}: all weights are 0", op));
}

// log N − 1/N Σ_c n_c log n_c over the counts of equal keys.
template <typename Key>
double entropy_of(std::vector<std::pair<Key, double>> keys) {
  std::sort(keys.begin(), keys.end(), [](const auto& x, const auto& y) { return x.first < y.first; });
  double total = 0, sum = 0;
  for (size_t i = 0; i < keys.size();) {
    double count = 0;
    for (Key key = keys[i].first; i < keys.size() && keys[i].first == key; ++i) count += keys[i].second;
    if (count > 0) sum += count * std::log(count);
    total += count;
  }
  return std::log(total) - sum / total;
}

std::vector<std::pair<int64_t, double>> weighted(const std::vector<int64_t>& a, const std::vector<double>& weights) {
  std::vector<std::pair<int64_t, double>> keys;
  for (size_t i = 0; i < a.size(); ++i) keys.emplace_back(a[i], weights.empty() ? 1 : weights[i]);
  return keys;
}

}  // namespace

double entropy(const std::vector<int64_t>& a, const std::vector<double>& weights) {
  check("entropy", a.size(), weights);
  return std::max(0.0, entropy_of(weighted(a, weights)));
}

double mutual_information(const std::vector<int64_t>& a, const std::vector<int64_t>& b, const std::vector<double>& weights) {
  if (a.size() != b.size()) throw ShapeError(fmt::format("mutual_information: columns of {} and {} rows", a.size(), b.size()));
  check("mutual_information", a.size(), weights);
  std::vector<std::pair<std::pair<int64_t, int64_t>, double>> joint;
  for (size_t i = 0; i < a.size(); ++i) joint.push_back({{a[i], b[i]}, weights.empty() ? 1 : weights[i]});
  return std::max(0.0, entropy_of(weighted(a, weights)) + entropy_of(weighted(b, weights)) - entropy_of(std::move(joint)));
}

}  // namespace plumb::metrics
