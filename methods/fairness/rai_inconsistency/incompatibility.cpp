// Identities and bounds from the groups' rates.
#include "methods/fairness/rai_inconsistency/incompatibility.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "models/metrics/fairness.h"
#include "ops/pointwise.h"

namespace plumb::methods::rai_inconsistency {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

template <typename Value>
double largest_difference(const std::vector<GroupIdentity>& groups, Value&& value) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const GroupIdentity& g : groups) {
    if (std::isnan(value(g))) return kNaN;
    low = std::min(low, value(g)), high = std::max(high, value(g));
  }
  return high - low;
}

GroupIdentity identity_of(const metrics::GroupRates& r) {
  GroupIdentity g{.group = r.group, .count = r.count, .base_rate = r.base_rate, .selection_rate = r.selection_rate, .ppv = r.precision};
  g.false_positive_rate = r.false_positive_rate;
  g.false_negative_rate = 1 - r.true_positive_rate;
  g.error = 1 - r.accuracy;
  g.identity = implied_false_positive_rate(g.base_rate, g.ppv, g.false_negative_rate);
  return g;
}

// PPV and FNR of all groups together, from counts.
void pool(IncompatibilityReport& report) {
  double positives = 0, selected = 0, hits = 0;
  for (const GroupIdentity& g : report.groups) {
    double n = static_cast<double>(g.count);
    positives += n * g.base_rate;
    selected += n * g.selection_rate;
    if (g.base_rate > 0) hits += n * g.base_rate * (1 - g.false_negative_rate);
  }
  report.pooled_ppv = selected > 0 ? hits / selected : kNaN;
  report.pooled_fnr = positives > 0 ? 1 - hits / positives : kNaN;
  for (GroupIdentity& g : report.groups) g.implied = implied_false_positive_rate(g.base_rate, report.pooled_ppv, report.pooled_fnr);
}

void add_slack(IncompatibilityReport& report) {
  double slack = std::numeric_limits<double>::infinity();
  for (const GroupIdentity& a : report.groups)
    for (const GroupIdentity& b : report.groups)
      if (a.group < b.group)
        slack = std::min(slack, a.error + b.error - std::abs(a.base_rate - b.base_rate) + std::abs(a.selection_rate - b.selection_rate));
  report.zhao_gordon_slack = slack;
}

void add_kleinberg(IncompatibilityReport& report, const std::vector<metrics::GroupProbabilities>& groups) {
  double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
  bool undefined[2] = {false, false};
  for (const auto& g : groups) {
    report.calibration = std::max(report.calibration, std::abs(g.calibration_gap));
    for (int which : {0, 1}) {
      double v = which == 1 ? g.mean_positives : g.mean_negatives;
      undefined[which] = undefined[which] || std::isnan(v);
      low[which] = std::min(low[which], v), high[which] = std::max(high[which], v);
    }
  }
  report.balance_positive = undefined[1] ? kNaN : high[1] - low[1];
  report.balance_negative = undefined[0] ? kNaN : high[0] - low[0];
}

}  // namespace

double implied_false_positive_rate(double b, double ppv, double fnr) {
  if (b == 1 || !(ppv > 0)) return kNaN;
  return b / (1 - b) * (1 - ppv) / ppv * (1 - fnr);
}

double IncompatibilityReport::kleinberg() const {
  if (std::isnan(balance_positive) || std::isnan(balance_negative)) return kNaN;
  return std::max({calibration, balance_positive, balance_negative});
}

IncompatibilityReport incompatibilities(const Tensor& p, const Tensor& y, const Tensor& a, double threshold) {
  NoGrad off;
  auto probabilities = metrics::group_probabilities(p, y, a);
  IncompatibilityReport report;
  for (const metrics::GroupRates& r : metrics::group_rates(p >= threshold, y, a)) report.groups.push_back(identity_of(r));
  if (report.groups.size() < 2)
    throw ValueError("rai_inconsistency: all " + std::to_string(p.numel()) + " rows are of one group; gaps between groups need two");
  for (const GroupIdentity& g : report.groups) {
    double off_by = std::abs(g.false_positive_rate - g.identity);
    if (!std::isnan(off_by)) report.residual = std::max(report.residual, off_by);
  }
  pool(report);
  report.implied_gap = largest_difference(report.groups, [](const GroupIdentity& g) { return g.implied; });
  report.base_rate_gap = largest_difference(report.groups, [](const GroupIdentity& g) { return g.base_rate; });
  add_kleinberg(report, probabilities);
  add_slack(report);
  return report;
}

}  // namespace plumb::methods::rai_inconsistency
