// ROC curves, from scores sorted once. Equal scores are one step of the curve.
#include "models/metrics/roc.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "ops/shape.h"

namespace plumb::metrics {
namespace {

// The examples of one score: how many of each kind.
struct Step {
  double score, positives, negatives;
};

struct Steps {
  std::vector<Step> steps;  // best score first
  double positives = 0, negatives = 0;
};

Steps steps_of(const char* op, const std::vector<double>& scores, const std::vector<double>& positive) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  for (size_t i : order) {
    if (std::isnan(scores[i])) throw ValueError(std::string(op) + ": score " + std::to_string(i) + " is NaN");
    if (positive[i] != 0 && positive[i] != 1)
      throw ValueError(std::string(op) + ": label " + std::to_string(i) + " must be 0 or 1, it is " + decimal(positive[i]));
  }
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  Steps all;
  for (size_t i : order) {
    if (all.steps.empty() || all.steps.back().score != scores[i]) all.steps.push_back({scores[i], 0, 0});
    (positive[i] == 1 ? all.steps.back().positives : all.steps.back().negatives) += 1;
    (positive[i] == 1 ? all.positives : all.negatives) += 1;
  }
  return all;
}

Steps read(const char* op, const Tensor& scores, const Tensor& positive, bool need_negatives = true) {
  if (scores.rank() != 1 || scores.shape() != positive.shape())
    throw ShapeError(std::string(op) + ": takes scores [n] and labels [n], got " + to_string(scores.shape()) + " and " +
                     to_string(positive.shape()));
  Steps all = steps_of(op, to_vector(scores), to_vector(positive));
  if (all.positives == 0)
    throw ValueError(std::string(op) + ": there are no positives among " + std::to_string(scores.numel()) + " examples");
  if (need_negatives && all.negatives == 0)
    throw ValueError(std::string(op) + ": there are no negatives among " + std::to_string(scores.numel()) + " examples");
  return all;
}

// Pairs of a positive and a negative in the right order, ties half: every negative loses to the positives above it.
double area(const Steps& all) {
  double pairs = 0, above = 0;
  for (const Step& s : all.steps) {
    pairs += s.negatives * (above + 0.5 * s.positives);
    above += s.positives;
  }
  return pairs / (all.positives * all.negatives);
}

}  // namespace

double roc_auc(const Tensor& scores, const Tensor& positive) { return area(read("roc_auc", scores, positive)); }

double macro_roc_auc(const Tensor& probabilities, const Tensor& labels) {
  if (probabilities.rank() != 2 || labels.rank() != 1 || labels.size(0) != probabilities.size(0))
    throw ShapeError("macro_roc_auc: takes probabilities [n, C] and labels [n], got " + to_string(probabilities.shape()) + " and " +
                     to_string(labels.shape()));
  std::vector<int64_t> l = to_vector<int64_t>(labels);
  double total = 0, count = 0;
  for (int64_t c = 0; c < probabilities.size(1); ++c) {
    std::vector<double> positive;
    for (int64_t label : l) positive.push_back(label == c ? 1 : 0);
    Steps all = steps_of("macro_roc_auc", to_vector(select(probabilities, 1, c)), positive);
    if (all.positives == 0 || all.negatives == 0) continue;
    total += area(all);
    ++count;
  }
  if (count == 0) throw ValueError("macro_roc_auc: the labels are all of one class");
  return total / count;
}

RocCurve roc_curve(const Tensor& scores, const Tensor& positive) {
  Steps all = read("roc_curve", scores, positive);
  RocCurve curve{{std::numeric_limits<double>::infinity()}, {0}, {0}};
  double positives = 0, negatives = 0;
  for (const Step& s : all.steps) {
    positives += s.positives;
    negatives += s.negatives;
    curve.threshold.push_back(s.score);
    curve.false_positive_rate.push_back(negatives / all.negatives);
    curve.true_positive_rate.push_back(positives / all.positives);
  }
  return curve;
}

double youden_threshold(const RocCurve& curve) {
  size_t best = 0;
  auto gain = [&](size_t i) { return curve.true_positive_rate[i] - curve.false_positive_rate[i]; };
  for (size_t i = 1; i < curve.threshold.size(); ++i)
    if (gain(i) > gain(best)) best = i;
  return curve.threshold.at(best);
}

double average_precision(const Tensor& scores, const Tensor& positive) {
  Steps all = read("average_precision", scores, positive, false);
  double positives = 0, taken = 0, total = 0;
  for (const Step& s : all.steps) {
    positives += s.positives;
    taken += s.positives + s.negatives;
    total += s.positives / all.positives * (positives / taken);
  }
  return total;
}

}  // namespace plumb::metrics
