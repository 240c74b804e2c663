// Rates of classes along thresholds, from sorted similarities.
#include "models/metrics/threshold_consistency.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "engine/autograd/grad_mode.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::metrics {
namespace {

// Rows of length 1 and where each class's are.
struct Sorted {
  Tensor rows;  // f64 [n, d]
  std::vector<int64_t> labels;
  std::map<int64_t, std::vector<int64_t>> places;
};

Sorted sorted(const Tensor& embeddings, const Tensor& labels) {
  if (embeddings.rank() != 2 || labels.rank() != 1 || labels.size(0) != embeddings.size(0))
    throw ShapeError("threshold_consistency: takes embeddings [n, d] and labels [n], got " + to_string(embeddings.shape()) + " and " +
                     to_string(labels.shape()));
  if (labels.dtype() != i64) throw DTypeError("threshold_consistency: labels must be i64");
  NoGrad off;
  Tensor x = to(embeddings.detach(), f64);
  Sorted out{.labels = to_vector<int64_t>(labels)};
  std::vector<double> lengths = to_vector(norm(x, 2, {1}));
  for (size_t i = 0; i < lengths.size(); ++i) {
    if (!(lengths[i] > 0 && std::isfinite(lengths[i])))
      throw ValueError(fmt::format("threshold_consistency: embedding {} is 0 or not finite", i));
    out.places[out.labels[i]].push_back(static_cast<int64_t>(i));
  }
  out.rows = x / from_vector(lengths, {static_cast<int64_t>(lengths.size()), 1});
  return out;
}

// f(label, its places, similarities of its rows to all rows) for every class.
template <typename F>
void each_class(const Sorted& s, F&& f) {
  NoGrad off;
  Tensor columns = transpose(s.rows, 0, 1);
  for (const auto& [label, places] : s.places) f(label, places, to_vector(matmul(index_select(s.rows, 0, from_vector(places)), columns)));
}

// Shares of sorted values that are ≥ each threshold.
std::vector<double> shares_from(const std::vector<double>& values, const std::vector<double>& thresholds) {
  std::vector<double> out;
  for (double t : thresholds)
    out.push_back(static_cast<double>(values.end() - std::ranges::lower_bound(values, t)) / static_cast<double>(values.size()));
  return out;
}

double harmonic(double a, double b) { return a + b > 0 ? 2 * a * b / (a + b) : 0; }

// ∫ y dt by trapezoids.
double integral(const std::vector<double>& t, const std::vector<double>& y) {
  double total = 0;
  for (size_t i = 1; i < t.size(); ++i) total += (t[i] - t[i - 1]) * (y[i] + y[i - 1]) / 2;
  return total;
}

double range(const ClassUtilityCurves& c) { return c.thresholds.back() - c.thresholds.front(); }

void check_thresholds(const std::vector<double>& thresholds) {
  if (thresholds.size() < 2) throw ValueError("class_utility_curves: needs at least two thresholds");
  for (size_t i = 1; i < thresholds.size(); ++i)
    if (!(thresholds[i] > thresholds[i - 1]))
      throw ValueError(fmt::format("class_utility_curves: thresholds must ascend, {} comes after {}", thresholds[i], thresholds[i - 1]));
}

std::vector<double> mean_utility(const ClassUtilityCurves& c, const std::vector<size_t>& classes) {
  std::vector<double> out(c.thresholds.size(), 0);
  for (size_t k : classes)
    for (size_t i = 0; i < out.size(); ++i) out[i] += c.utility[k][i] / static_cast<double>(classes.size());
  return out;
}

ClassUtilityCurves curves_of(const Sorted& s, const std::vector<double>& thresholds) {
  check_thresholds(thresholds);
  ClassUtilityCurves out{.thresholds = thresholds};
  if (s.places.size() < 2) throw ValueError("class_utility_curves: needs at least two classes");
  each_class(s, [&](int64_t label, const std::vector<int64_t>& places, const std::vector<double>& similarities) {
    if (places.size() < 2) {
      ++out.skipped;
      return;
    }
    std::vector<double> positive, negative;
    size_t n = s.labels.size();
    for (size_t row = 0; row < places.size(); ++row)
      for (size_t j = 0; j < n; ++j) {
        if (s.labels[j] != label)
          negative.push_back(similarities[row * n + j]);
        else if (static_cast<int64_t>(j) != places[row])
          positive.push_back(similarities[row * n + j]);
      }
    std::ranges::sort(positive);
    std::ranges::sort(negative);
    out.classes.push_back(label);
    out.tpr.push_back(shares_from(positive, thresholds));
    out.tnr.push_back(shares_from(negative, thresholds));
    for (double& share : out.tnr.back()) share = 1 - share;
    std::vector<double> utility;
    for (size_t i = 0; i < thresholds.size(); ++i) utility.push_back(harmonic(out.tpr.back()[i], out.tnr.back()[i]));
    out.utility.push_back(std::move(utility));
  });
  if (out.classes.empty()) throw ValueError("class_utility_curves: no class has two examples");
  return out;
}

double threshold_of(const Sorted& s, double far) {
  if (!(far > 0 && far < 1)) throw ValueError(fmt::format("threshold_at_far: the rate {} is outside (0, 1)", far));
  std::vector<double> negative;
  size_t n = s.labels.size();
  each_class(s, [&](int64_t label, const std::vector<int64_t>& places, const std::vector<double>& similarities) {
    for (size_t row = 0; row < places.size(); ++row)
      for (size_t j = static_cast<size_t>(places[row]) + 1; j < n; ++j)  // each pair once
        if (s.labels[j] != label) negative.push_back(similarities[row * n + j]);
  });
  if (negative.empty()) throw ValueError("threshold_at_far: there are no pairs of different classes");
  std::ranges::sort(negative);
  double place = (1 - far) * static_cast<double>(negative.size() - 1);
  auto below = static_cast<size_t>(place);
  double share = place - static_cast<double>(below);
  return below + 1 < negative.size() ? negative[below] * (1 - share) + negative[below + 1] * share : negative[below];
}

double recall_of(const Sorted& s) {
  if (s.labels.size() < 2) throw ValueError("recall_at_1: needs at least two examples");
  double right = 0;
  size_t n = s.labels.size();
  each_class(s, [&](int64_t label, const std::vector<int64_t>& places, const std::vector<double>& similarities) {
    for (size_t row = 0; row < places.size(); ++row) {
      size_t best = n;
      for (size_t j = 0; j < n; ++j)
        if (static_cast<int64_t>(j) != places[row] && (best == n || similarities[row * n + j] > similarities[row * n + best])) best = j;
      right += s.labels[best] == label;
    }
  });
  return right / static_cast<double>(n);
}

}  // namespace

ClassUtilityCurves class_utility_curves(const Tensor& embeddings, const Tensor& labels, const std::vector<double>& thresholds) {
  return curves_of(sorted(embeddings, labels), thresholds);
}

double opis(const ClassUtilityCurves& c) {
  std::vector<size_t> all(c.classes.size());
  std::iota(all.begin(), all.end(), 0);
  std::vector<double> mean = mean_utility(c, all), squares(mean.size(), 0);
  for (size_t k : all)
    for (size_t i = 0; i < mean.size(); ++i) squares[i] += (c.utility[k][i] - mean[i]) * (c.utility[k][i] - mean[i]);
  return integral(c.thresholds, squares) / (range(c) * static_cast<double>(all.size()));
}

ExtremeGap eps_opis(const ClassUtilityCurves& c, double epsilon) {
  if (!(epsilon > 0 && epsilon <= 0.5)) throw ValueError(fmt::format("eps_opis: epsilon {} is outside (0, 0.5]", epsilon));
  std::vector<size_t> order(c.classes.size());
  std::iota(order.begin(), order.end(), 0);
  std::vector<double> means;
  for (size_t k : order) means.push_back(integral(c.thresholds, c.utility[k]));
  std::ranges::stable_sort(order, {}, [&](size_t k) { return means[k]; });
  auto count = std::max<int64_t>(1, std::llround(epsilon * static_cast<double>(order.size())));
  std::vector<double> worst = mean_utility(c, {order.begin(), order.begin() + count}),
                      best = mean_utility(c, {order.end() - count, order.end()});
  std::vector<double> absolute, squared;
  for (size_t i = 0; i < worst.size(); ++i) {
    absolute.push_back(std::abs(best[i] - worst[i]));
    squared.push_back(absolute.back() * absolute.back());
  }
  return {integral(c.thresholds, absolute) / range(c), integral(c.thresholds, squared) / range(c)};
}

double threshold_at_far(const Tensor& embeddings, const Tensor& labels, double far) {
  return threshold_of(sorted(embeddings, labels), far);
}

double recall_at_1(const Tensor& embeddings, const Tensor& labels) { return recall_of(sorted(embeddings, labels)); }

ThresholdConsistency threshold_consistency(const Tensor& embeddings, const Tensor& labels, const ConsistencyOptions& o) {
  if (!(o.far_low > 0 && o.far_low < o.far_high && o.far_high < 1))
    throw ValueError(fmt::format("threshold_consistency: rates must satisfy 0 < {} < {} < 1", o.far_low, o.far_high));
  if (o.points < 2) throw ValueError(fmt::format("threshold_consistency: {} points", o.points));
  Sorted s = sorted(embeddings, labels);
  double from = threshold_of(s, o.far_high), to = threshold_of(s, o.far_low);
  if (!(from < to)) throw ValueError(fmt::format("threshold_consistency: the thresholds of both rates are {}", to));
  std::vector<double> thresholds;
  for (int64_t i = 0; i < o.points; ++i)
    thresholds.push_back(i + 1 == o.points ? to : from + (to - from) * static_cast<double>(i) / static_cast<double>(o.points - 1));
  ClassUtilityCurves curves = curves_of(s, thresholds);
  ThresholdConsistency out{.opis = opis(curves),
                           .extremes = eps_opis(curves, o.epsilon),
                           .recall_at_1 = recall_of(s),
                           .threshold = to,
                           .skipped = curves.skipped};
  double pairs = 0, rejected = 0, mean = 0, squares = 0;
  auto count = static_cast<double>(curves.classes.size());
  for (size_t k = 0; k < curves.classes.size(); ++k) {
    auto n = static_cast<double>(s.places.at(curves.classes[k]).size());
    double frr = 1 - curves.tpr[k].back();
    pairs += n * (n - 1);
    rejected += n * (n - 1) * frr;
    mean += frr / count;
    squares += frr * frr / count;
  }
  out.frr = rejected / pairs;
  out.frr_spread = std::sqrt(std::max(0.0, squares - mean * mean));
  return out;
}

}  // namespace plumb::metrics
