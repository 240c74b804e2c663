// Collapse monitors: moments over rows, and densities of pairs of rows.
#include "methods/representation/t_jepa/collapse.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "engine/core/error.h"

namespace plumb::methods::t_jepa {
namespace {

constexpr int kGrid = 100;
constexpr double kTiny = 1e-10;  // keeps the logarithm finite where one density ends

struct Moments {
  double mean = 0, variance = 0;
};
template <typename Value>
Moments moments(size_t n, Value value) {
  Moments m;
  for (size_t i = 0; i < n; ++i) m.mean += value(i) / static_cast<double>(n);
  for (size_t i = 0; i < n; ++i) m.variance += (value(i) - m.mean) * (value(i) - m.mean) / static_cast<double>(n);
  return m;
}

/// Probabilities of kGrid points from `low` to `high` under a Gaussian kernel density of bandwidth s n^(−1/5), s the sample's deviation.
std::vector<double> density(std::span<const double> values, double low, double high) {
  double n = static_cast<double>(values.size());
  double variance = moments(values.size(), [&](size_t i) { return values[i]; }).variance * n / std::max(1.0, n - 1);
  double bandwidth = std::max(std::sqrt(variance) * std::pow(n, -0.2), 1e-12);
  std::vector<double> p(kGrid);
  double total = 0;
  for (int g = 0; g < kGrid; ++g) {
    double at = low + (high - low) * g / (kGrid - 1), sum = 0;
    for (double v : values) sum += std::exp(-0.5 * (at - v) * (at - v) / (bandwidth * bandwidth));
    total += p[static_cast<size_t>(g)] = sum + kTiny;
  }
  for (double& v : p) v /= total;
  return p;
}

double divergence(std::span<const double> a, std::span<const double> b) {
  auto [low_a, high_a] = std::ranges::minmax(a);
  auto [low_b, high_b] = std::ranges::minmax(b);
  double low = std::min(low_a, low_b), high = std::max(high_a, high_b), sum = 0;
  std::vector<double> p = density(a, low, high), q = density(b, low, high);
  for (size_t g = 0; g < p.size(); ++g) sum += p[g] * std::log(p[g] / q[g]);
  return sum;
}

}  // namespace

CollapseMetrics collapse_metrics(const Tensor& x, Generator& generator, int64_t pairs) {
  if (x.rank() != 3 || x.numel() == 0) throw ShapeError(fmt::format("collapse_metrics: takes [N, T, h], got {}", to_string(x.shape())));
  if (x.size(0) < 2 || pairs < 1) throw ValueError(fmt::format("collapse_metrics: {} pairs of {} rows", pairs, x.size(0)));
  std::vector<double> v = to_vector(x);
  size_t rows = static_cast<size_t>(x.size(0)), tokens = static_cast<size_t>(x.size(1)), width = static_cast<size_t>(x.size(2)),
         each = tokens * width;
  CollapseMetrics m;
  for (size_t k = 0; k < each; ++k)
    m.intra += moments(rows, [&](size_t i) { return v[i * each + k]; }).variance / static_cast<double>(each);
  m.inter = moments(rows * width, [&](size_t k) {
              return moments(tokens, [&](size_t t) { return v[k / width * each + t * width + k % width]; }).mean;
            }).variance;
  for (int64_t pair = 0; pair < pairs; ++pair) {
    size_t i = generator.next_below(rows), j = (i + 1 + generator.next_below(rows - 1)) % rows;
    std::span<const double> a(v.data() + i * each, each), b(v.data() + j * each, each);
    double square = 0;
    for (size_t k = 0; k < each; ++k) square += (a[k] - b[k]) * (a[k] - b[k]);
    m.distance += std::sqrt(square) / static_cast<double>(pairs);
    m.divergence += divergence(a, b) / static_cast<double>(pairs);
  }
  return m;
}

}  // namespace plumb::methods::t_jepa
