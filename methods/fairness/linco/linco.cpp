// The coefficient, its variants and its test.
#include "methods/fairness/linco/linco.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "models/metrics/correlation.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::linco {

Tensor case_deviation(const Tensor& judgments) {
  if (judgments.rank() != 2) throw ShapeError("linco: judgments should be [cases, judges], they are " + to_string(judgments.shape()));
  if (judgments.numel() == 0) throw ValueError("linco: there are no judgments");
  NoGrad off;
  std::vector<double> v = to_vector(judgments);
  auto judges = static_cast<size_t>(judgments.size(1));
  for (size_t i = 0; i < v.size(); ++i)
    if (std::isnan(v[i]))
      throw ValueError("linco: judge " + std::to_string(i % judges) + " on case " + std::to_string(i / judges) + " is NaN");
  return std_dev(to(judgments, f64), {1}, 0);
}

double linco(const Tensor& judgments) { return mean(case_deviation(judgments)).item(); }

// −Σ_c p_c log p_c over the last dimension.
static Tensor entropy(const Tensor& p) { return -sum(xlogy(p, p), {-1}); }

Tensor case_disagreement(const Tensor& probabilities) {
  if (probabilities.rank() != 3)
    throw ShapeError("linco: probabilities should be [cases, judges, classes], they are " + to_string(probabilities.shape()));
  if (probabilities.numel() == 0) throw ValueError("linco: there are no judgments");
  NoGrad off;
  Tensor p = to(probabilities, f64);
  bool fine = min(p).item() >= 0 && max(abs(sum(p, {2}) - 1)).item() <= 1e-4;
  if (!fine) throw ValueError("linco: a judge's probabilities are no distribution");
  return entropy(mean(p, {1})) - mean(entropy(p), {1});
}

double linco_classification(const Tensor& probabilities) { return mean(case_disagreement(probabilities)).item(); }

Tensor log_terms(const std::vector<double>& months) {
  std::vector<double> t;
  for (double m : months) {
    if (!(m >= 0))
      throw ValueError("linco: the term of case " + std::to_string(t.size()) + " is " + decimal(m) + ", not a number >= 0");
    t.push_back(std::log1p(m));
  }
  return from_vector(t);
}

double excess(double linco, double null_mean) { return std::sqrt(std::max(0.0, linco * linco - null_mean * null_mean)); }

double permutation_p_value(double linco, std::span<const double> nulls) {
  if (nulls.empty()) throw ValueError("linco: a p-value needs permutations");
  auto as_large = static_cast<double>(std::ranges::count_if(nulls, [&](double v) { return v >= linco; }));
  return (1 + as_large) / (static_cast<double>(nulls.size()) + 1);
}

SeverityBins by_severity(std::span<const double> severity, std::span<const double> deviation, int64_t bins) {
  if (severity.size() != deviation.size())
    throw ShapeError("linco: " + std::to_string(severity.size()) + " severities for " + std::to_string(deviation.size()) + " cases");
  if (bins < 2 || bins > static_cast<int64_t>(severity.size()))
    throw ValueError("linco: " + std::to_string(bins) + " bins of " + std::to_string(severity.size()) + " cases");
  std::vector<size_t> order(severity.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, {}, [&](size_t i) { return severity[i]; });
  SeverityBins out;
  for (int64_t b = 0; b < bins; ++b) {
    size_t begin = order.size() * static_cast<size_t>(b) / static_cast<size_t>(bins),
           end = order.size() * static_cast<size_t>(b + 1) / static_cast<size_t>(bins);
    double s = 0, l = 0;
    for (size_t i = begin; i < end; ++i) s += severity[order[i]], l += deviation[order[i]];
    out.severity.push_back(s / static_cast<double>(end - begin)), out.linco.push_back(l / static_cast<double>(end - begin));
  }
  out.rank_correlation = spearman_correlation(out.severity, out.linco);
  return out;
}

}  // namespace plumb::methods::linco
