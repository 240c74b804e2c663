// Every measure of the suite, from the library's own metrics.
#include "methods/fairness/rai_inconsistency/suite.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "models/cluster/k_nearest.h"
#include "models/metrics/calibration.h"
#include "models/metrics/fairness.h"
#include "models/metrics/loss_attack.h"
#include "models/metrics/roc.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::rai_inconsistency {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kFloor = 1e-12;

double share_wrong(const Tensor& h, const Tensor& y) { return mean(to(h != (y == 1), f64)).item(); }

Tensor rows_in(const Tensor& x, const Tensor& mask) { return masked_select(x, mask); }

// NaN where both classes are not there.
double one_minus_auc(const Tensor& p, const Tensor& y) {
  double positives = sum(to(y, f64)).item();
  return positives == 0 || positives == static_cast<double>(y.numel()) ? kNaN : 1 - metrics::roc_auc(p, y);
}

double ece(const Tensor& p, const Tensor& y, int64_t bins) {
  return metrics::expected_calibration_error(metrics::calibration_bins(p, y, bins));
}

// The largest difference of a number that each group has; NaN if one of them is.
template <typename Groups, typename Value>
double gap(const Groups& groups, Value&& value) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const auto& g : groups) {
    if (std::isnan(value(g))) return kNaN;
    low = std::min(low, value(g)), high = std::max(high, value(g));
  }
  return high - low;
}

// The worst over groups g of share · err_g + (1 − share) · error of all others.
double shifted_error(const std::vector<metrics::GroupRates>& groups, double share) {
  double worst = 0, n = 0, wrong = 0;
  for (const auto& g : groups) n += static_cast<double>(g.count), wrong += (1 - g.accuracy) * static_cast<double>(g.count);
  for (const auto& g : groups) {
    double own = static_cast<double>(g.count), others = (wrong - (1 - g.accuracy) * own) / (n - own);
    worst = std::max(worst, share * (1 - g.accuracy) + (1 - share) * others);
  }
  return worst;
}

void check_groups(const std::vector<metrics::GroupRates>& groups, int64_t rows) {
  if (groups.size() < 2)
    throw ValueError("rai_inconsistency: all " + std::to_string(rows) + " rows are of one group; gaps between groups need two");
}

MetricSuite measures_of_predictions(const Tensor& p, const Tensor& y, const Tensor& a, double threshold, int64_t bins,
                                    double shifted_share) {
  NoGrad off;
  auto probabilities = metrics::group_probabilities(p, y, a);  // checks all three
  Tensor h = p >= threshold;
  auto rates = metrics::group_rates(h, y, a);
  check_groups(rates, p.numel());
  double calibration = 0;
  for (const auto& g : probabilities) calibration = std::max(calibration, std::abs(g.calibration_gap));
  std::vector<double> group_ece;
  for (const auto& g : rates) group_ece.push_back(ece(rows_in(p, a == g.group), rows_in(y, a == g.group), bins));
  auto losses = row_losses(p, y);
  double nll = 0;
  for (double l : losses) nll += l;
  auto benefit = metrics::benefit_inequality(h, y);
  const char *accuracy = "accuracy", *group = "group fairness";
  return {{"error", accuracy, share_wrong(h, y)},
          {"NLL", accuracy, nll / static_cast<double>(losses.size())},
          {"Brier", accuracy, mean(square(to(p, f64) - to(y, f64))).item()},
          {"1 − AUC", accuracy, one_minus_auc(p, y)},
          {"ECE", accuracy, ece(p, y, bins)},
          {"demographic parity", group, metrics::demographic_parity_gap(rates)},
          {"disparate impact", group, 1 - metrics::disparate_impact(rates)},
          {"equal opportunity", group, metrics::equal_opportunity_gap(rates)},
          {"equalised odds", group, metrics::equalized_odds_gap(rates)},
          {"predictive parity", group, metrics::predictive_parity_gap(rates)},
          {"calibration in the large", group, calibration},
          {"group ECE gap", group, gap(group_ece, [](double v) { return v; })},
          {"balance +", group, gap(probabilities, [](const auto& g) { return g.mean_positives; })},
          {"balance −", group, gap(probabilities, [](const auto& g) { return g.mean_negatives; })},
          {"worst-group error", group, 1 - metrics::worst_group_accuracy(rates)},
          {"generalised entropy", "individual fairness", benefit.generalized_entropy},
          {"Theil index", "individual fairness", benefit.theil},
          {"error under group shift", "robustness", shifted_error(rates, shifted_share)}};
}

Tensor logits_of(const TensorFunction& model, const Tensor& x) {
  Tensor logits = model({x})[0];
  if (logits.shape() != Shape{x.size(0)})
    throw ShapeError("rai_inconsistency: the model gives " + to_string(logits.shape()) + " for " + std::to_string(x.size(0)) +
                     " rows, not a logit each");
  return logits;
}

double wrong_at(const TensorFunction& model, const Tensor& x, const Tensor& y, double threshold) {
  return share_wrong(sigmoid(logits_of(model, x)) >= threshold, y);
}

}  // namespace

MetricSuite evaluate_predictions(const Tensor& p, const Tensor& y, const Tensor& a, double threshold, int64_t bins) {
  return measures_of_predictions(p, y, a, threshold, bins, EvalContext{}.shifted_share);
}

MetricSuite evaluate(const Tensor& p, const Tensor& y, const Tensor& a, const EvalContext& c) {
  MetricSuite suite = measures_of_predictions(p, y, a, c.threshold, c.bins, c.shifted_share);
  if (c.others.defined()) {
    double total = 0;
    for (double v : neighbour_inconsistency(p >= c.threshold, c.others, c.neighbours)) total += v / static_cast<double>(p.numel());
    suite.push_back({"neighbour inconsistency", "individual fairness", total});
  }
  if (!c.member_losses.empty() && !c.other_losses.empty()) {
    auto attack = metrics::loss_threshold_attack(c.member_losses, c.other_losses);
    suite.push_back({"membership advantage", "privacy", attack.advantage});
    suite.push_back({"membership AUC", "privacy", attack.auc});
  }
  if (c.features.defined()) {
    Tensor attacked = fgsm(c.model, c.features, y, c.fgsm);
    NoGrad off;
    suite.push_back({"error under noise", "robustness", wrong_at(c.model, c.features + randn_like(c.features) * c.noise, y, c.threshold)});
    suite.push_back({"error under FGSM", "robustness", wrong_at(c.model, attacked, y, c.threshold)});
  }
  return suite;
}

double value_of(const MetricSuite& suite, const std::string& name) {
  for (const Measure& m : suite)
    if (m.name == name) return m.value;
  throw ValueError("rai_inconsistency: the suite has no measure \"" + name + "\"");
}

std::vector<double> neighbour_inconsistency(const Tensor& decisions, const Tensor& rows, int64_t k) {
  NoGrad off;
  if (rows.rank() != 2 || decisions.shape() != Shape{rows.size(0)})
    throw ShapeError("neighbour_inconsistency: decisions " + to_string(decisions.shape()) + " for rows " + to_string(rows.shape()));
  cluster::Neighbours near = cluster::k_nearest(rows, k);
  std::vector<double> h = to_vector(decisions), off_by;
  std::vector<int64_t> index = to_vector<int64_t>(near.index);
  for (size_t i = 0; i < h.size(); ++i) {
    double around = 0;
    for (size_t j = 0; j < static_cast<size_t>(k); ++j)
      around += h[static_cast<size_t>(index[i * static_cast<size_t>(k) + j])] / static_cast<double>(k);
    off_by.push_back(std::abs(h[i] - around));
  }
  return off_by;
}

Tensor fgsm(const TensorFunction& model, const Tensor& x, const Tensor& y, double epsilon) {
  GradMode on(true);
  Tensor leaf = x.detach().requires_grad_(), logits = logits_of(model, leaf);
  Tensor loss = binary_cross_entropy_with_logits(logits, to(y, logits.dtype()), {.reduction = Reduction::sum});
  Tensor slope = grad({loss}, {leaf})[0];
  return (x + sign(slope) * epsilon).detach();
}

std::vector<double> row_losses(const Tensor& p, const Tensor& y) {
  if (p.rank() != 1 || p.shape() != y.shape())
    throw ShapeError("row_losses: takes predictions and labels of one length, got " + to_string(p.shape()) + " and " +
                     to_string(y.shape()));
  std::vector<double> probability = to_vector(p), label = to_vector(y), losses;
  for (size_t i = 0; i < label.size(); ++i) {
    double q = std::clamp(probability[i], kFloor, 1 - kFloor);
    losses.push_back(label[i] == 1 ? -std::log(q) : -std::log1p(-q));
  }
  return losses;
}

PrivacyCost zcdp_cost(int64_t steps, double noise_multiplier, double delta) {
  if (steps < 0 || !(noise_multiplier > 0) || !(delta > 0 && delta < 1))
    throw ValueError("zcdp_cost: needs steps >= 0, a noise multiplier > 0 and 0 < delta < 1, got " + std::to_string(steps) + ", " +
                     decimal(noise_multiplier) + " and " + decimal(delta));
  double rho = static_cast<double>(steps) / (2 * noise_multiplier * noise_multiplier);
  return {rho, rho + 2 * std::sqrt(rho * std::log(1 / delta))};
}

}  // namespace plumb::methods::rai_inconsistency
