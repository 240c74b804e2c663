// Histograms of margins, on the host in f64.
#include "models/metrics/klom.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "ops/reduce.h"
#include "ops/sort.h"

namespace plumb::metrics {
namespace {

/// Margins [N, n], clipped.
std::vector<double> clipped(const Tensor& margins, double clip) {
  std::vector<double> v = to_vector(margins);
  for (double& m : v) {
    if (std::isnan(m)) throw ValueError("klom: a margin is NaN");
    m = std::clamp(m, -clip, clip);
  }
  return v;
}

/// Probabilities of equal bins over [low, high] of every n-th value from `i` on.
std::vector<double> histogram(const std::vector<double>& v, size_t n, size_t i, double low, double high, const KlomOptions& o) {
  auto bins = static_cast<size_t>(o.bins);
  std::vector<double> p(bins);
  double counted = 0;
  for (size_t at = i; at < v.size(); at += n) {
    if (o.drop_top_edge && v[at] >= high) continue;
    auto bin = static_cast<size_t>((v[at] - low) / (high - low) * static_cast<double>(bins));
    p[std::min(bin, bins - 1)] += 1;
    counted += 1;
  }
  if (counted > 0)
    for (double& share : p) share /= counted;
  return p;
}

double divergence(const std::vector<double>& p, std::vector<double> q, double eps) {
  double total = 0, kl = 0;
  for (size_t b = 0; b < p.size(); ++b) {
    if (p[b] > 0) q[b] = std::max(q[b], eps);
    total += q[b];
  }
  for (size_t b = 0; b < p.size(); ++b)
    if (p[b] > 0) kl += p[b] * std::log(p[b] * total / q[b]);
  return std::max(0.0, kl);  // rounding
}

void check(const Tensor& a, const Tensor& b, const KlomOptions& o) {
  if (a.rank() != 2 || b.rank() != 2 || a.size(1) != b.size(1))
    throw ShapeError("klom: takes margins [N, n] and [N, n], got " + to_string(a.shape()) + " and " + to_string(b.shape()));
  if (a.size(0) != b.size(0))
    throw ShapeError("klom: " + std::to_string(a.size(0)) + " unlearned models against " + std::to_string(b.size(0)) +
                     " oracles; as many of both are needed");
  if (a.size(0) == 0) throw ValueError("klom: there are no models");
  if (o.bins < 1) throw ValueError("klom: takes at least 1 bin, got " + std::to_string(o.bins));
  if (!(o.clip > 0) || !(o.eps > 0)) throw ValueError("klom: clip and eps must be positive");
}

}  // namespace

Tensor klom(const Tensor& unlearned, const Tensor& oracle, const KlomOptions& options) {
  check(unlearned, oracle, options);
  std::vector<double> a = clipped(unlearned, options.clip), b = clipped(oracle, options.clip);
  auto n = static_cast<size_t>(unlearned.size(1));
  std::vector<double> result(n);
  for (size_t i = 0; i < n; ++i) {
    double low = a[i], high = a[i];
    for (const auto* v : {&a, &b})
      for (size_t at = i; at < v->size(); at += n) low = std::min(low, (*v)[at]), high = std::max(high, (*v)[at]);
    if (low == high) continue;
    result[i] = divergence(histogram(a, n, i, low, high, options), histogram(b, n, i, low, high, options), options.eps);
  }
  return from_vector(result);
}

KlomSummary summarise_klom(const Tensor& per_point) {
  if (per_point.numel() == 0) throw ValueError("klom: there are no points");
  return {quantile(per_point, 0.95).item(), mean(per_point).item()};
}

}  // namespace plumb::metrics
