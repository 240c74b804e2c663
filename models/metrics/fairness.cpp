// Rates within groups and their gaps.
#include "models/metrics/fairness.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>

namespace plumb::metrics {
namespace {

double ratio(double part, double whole) { return whole == 0 ? std::numeric_limits<double>::quiet_NaN() : part / whole; }

void check_lengths(const char* op, std::initializer_list<const Tensor*> vectors) {
  const Tensor& first = **vectors.begin();
  for (const Tensor* v : vectors)
    if (v->rank() != 1 || v->shape() != first.shape())
      throw ShapeError(std::string(op) + ": takes vectors of one length, got " + to_string(first.shape()) + " and " +
                       to_string(v->shape()));
  if (first.numel() == 0) throw ValueError(std::string(op) + ": there are no examples");
}

std::vector<double> binary(const char* op, const char* what, const Tensor& x) {
  std::vector<double> v = to_vector(x);
  for (size_t i = 0; i < v.size(); ++i)
    if (v[i] != 0 && v[i] != 1)
      throw ValueError(std::string(op) + ": " + what + " " + std::to_string(i) + " must be 0 or 1, it is " + decimal(v[i]));
  return v;
}

// Sums by label over the examples of one group: n, Σ h and so on, index 1 for y = 1.
struct Sums {
  double n[2] = {}, value[2] = {};
};

std::map<int64_t, Sums> sums_of(const std::vector<double>& values, const std::vector<double>& labels, const Tensor& groups) {
  std::map<int64_t, Sums> sums;
  std::vector<int64_t> g = to_vector<int64_t>(groups);
  for (size_t i = 0; i < g.size(); ++i) {
    Sums& s = sums[g[i]];
    size_t y = labels[i] == 1;
    s.n[y] += 1;
    s.value[y] += values[i];
  }
  return sums;
}

template <typename Rate>
double gap(const std::vector<GroupRates>& groups, Rate&& rate) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const GroupRates& g : groups) {
    if (std::isnan(rate(g))) return rate(g);
    low = std::min(low, rate(g)), high = std::max(high, rate(g));
  }
  return groups.empty() ? 0 : high - low;
}

}  // namespace

std::vector<GroupRates> group_rates(const Tensor& decisions, const Tensor& labels, const Tensor& groups) {
  check_lengths("group_rates", {&decisions, &labels, &groups});
  std::vector<double> h = binary("group_rates", "decision", decisions), y = binary("group_rates", "label", labels);
  std::vector<GroupRates> rates;
  for (const auto& [group, s] : sums_of(h, y, groups)) {
    double n = s.n[0] + s.n[1], selected = s.value[0] + s.value[1];
    rates.push_back({.group = group,
                     .count = static_cast<int64_t>(n),
                     .base_rate = s.n[1] / n,
                     .selection_rate = selected / n,
                     .true_positive_rate = ratio(s.value[1], s.n[1]),
                     .false_positive_rate = ratio(s.value[0], s.n[0]),
                     .precision = ratio(s.value[1], selected),
                     .accuracy = (s.value[1] + s.n[0] - s.value[0]) / n});
  }
  return rates;
}

double demographic_parity_gap(const std::vector<GroupRates>& groups) {
  return gap(groups, [](const GroupRates& g) { return g.selection_rate; });
}
double equal_opportunity_gap(const std::vector<GroupRates>& groups) {
  return gap(groups, [](const GroupRates& g) { return g.true_positive_rate; });
}
double predictive_parity_gap(const std::vector<GroupRates>& groups) {
  return gap(groups, [](const GroupRates& g) { return g.precision; });
}

double equalized_odds_gap(const std::vector<GroupRates>& groups) {
  double positives = equal_opportunity_gap(groups), negatives = gap(groups, [](const GroupRates&g) { return g.false_positive_rate; });
  return std::isnan(positives) || std::isnan(negatives) ? std::numeric_limits<double>::quiet_NaN() : std::max(positives, negatives);
}

double worst_group_accuracy(const std::vector<GroupRates>& groups) {
  double worst = 1;
  for (const GroupRates& g : groups) worst = std::min(worst, g.accuracy);
  return worst;
}

double disparate_impact(const std::vector<GroupRates>& groups) {
  double low = 1, high = 0;
  for (const GroupRates& g : groups) low = std::min(low, g.selection_rate), high = std::max(high, g.selection_rate);
  return ratio(low, high);
}

std::vector<GroupProbabilities> group_probabilities(const Tensor& probabilities, const Tensor& labels, const Tensor& groups) {
  check_lengths("group_probabilities", {&probabilities, &labels, &groups});
  std::vector<double> p = to_vector(probabilities), y = binary("group_probabilities", "label", labels);
  for (size_t i = 0; i < p.size(); ++i)
    if (!(p[i] >= 0 && p[i] <= 1))
      throw ValueError("group_probabilities: probability " + std::to_string(i) + " is " + decimal(p[i]));
  std::vector<GroupProbabilities> found;
  for (const auto& [group, s] : sums_of(p, y, groups)) {
    double n = s.n[0] + s.n[1], total = s.value[0] + s.value[1];
    found.push_back(
        {group, static_cast<int64_t>(n), total / n, ratio(s.value[1], s.n[1]), ratio(s.value[0], s.n[0]), (s.n[1] - total) / n});
  }
  return found;
}

Inequality benefit_inequality(const Tensor& decisions, const Tensor& labels) {
  check_lengths("benefit_inequality", {&decisions, &labels});
  std::vector<double> h = binary("benefit_inequality", "decision", decisions), y = binary("benefit_inequality", "label", labels);
  double n = static_cast<double>(h.size()), mean = 0;
  for (size_t i = 0; i < h.size(); ++i) mean += (h[i] - y[i] + 1) / n;
  if (mean == 0) return {};  // everyone who deserved it was refused: all are equal
  Inequality found;
  for (size_t i = 0; i < h.size(); ++i) {
    double share = (h[i] - y[i] + 1) / mean;
    found.generalized_entropy += 0.5 * (share * share - 1) / n;
    found.theil += share == 0 ? 0 : share * std::log(share) / n;
  }
  return found;
}

}  // namespace plumb::metrics
