// Quality by the number of training examples.
#include "models/metrics/shot_groups.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "engine/core/error.h"
#include "models/metrics/confusion.h"

namespace plumb::metrics {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// Of the examples of some classes, the share on the diagonal.
double share_of(const ConfusionMatrix& matrix, const std::vector<int64_t>& classes) {
  double right = 0, total = 0;
  for (int64_t c : classes) {
    right += static_cast<double>(matrix.count(c, c));
    for (int64_t p = 0; p < matrix.classes(); ++p) total += static_cast<double>(matrix.count(c, p));
  }
  return total > 0 ? right / total : kNaN;
}

// Adds up absolute errors.
struct Sums {
  double absolute = 0, logarithms = 0, count = 0;
  void add(double error) {
    absolute += error;
    logarithms += std::log(std::max(error, 1e-10));
    ++count;
  }
  Errors errors() const { return count > 0 ? Errors{absolute / count, std::exp(logarithms / count)} : Errors{kNaN, kNaN}; }
};

std::vector<double> numbers(const char* what, const Tensor& x) {
  if (x.rank() != 1) throw ShapeError(fmt::format("shot_errors: {} {} must be [n]", what, to_string(x.shape())));
  auto values = to_vector(x);
  for (size_t i = 0; i < values.size(); ++i)
    if (std::isnan(values[i])) throw ValueError(fmt::format("shot_errors: {} {} is NaN", what, i));
  return values;
}

}  // namespace

ShotAccuracy shot_accuracy(const Tensor& predicted, const Tensor& labels, const data::ShotGroups& groups, int64_t classes) {
  ConfusionMatrix matrix(classes);
  matrix.add(predicted, labels);
  if (matrix.total() == 0) throw ValueError("shot_accuracy: there are no examples");
  return {matrix.accuracy(), share_of(matrix, groups.many), share_of(matrix, groups.medium), share_of(matrix, groups.few)};
}

ShotAccuracy shot_accuracy(const Tensor& predicted, const Tensor& labels, const std::vector<int64_t>& counts, ShotThresholds t) {
  return shot_accuracy(predicted, labels, data::shot_groups(counts, t.many_above, t.few_below), static_cast<int64_t>(counts.size()));
}

ShotErrors shot_errors(const Tensor& predictions, const Tensor& targets, const Tensor& train_targets, double bin_width, ShotThresholds t) {
  if (!(bin_width > 0)) throw ValueError(fmt::format("shot_errors: the bins' width must be positive, it is {}", bin_width));
  auto guessed = numbers("prediction", predictions), wanted = numbers("target", targets), seen = numbers("training target", train_targets);
  if (guessed.size() != wanted.size())
    throw ShapeError(fmt::format("shot_errors: {} predictions for {} targets", guessed.size(), wanted.size()));
  if (guessed.empty()) throw ValueError("shot_errors: there are no examples");
  std::map<double, int64_t> bins;
  for (double y : seen) ++bins[std::floor(y / bin_width)];
  Sums all, many, medium, few;
  for (size_t i = 0; i < wanted.size(); ++i) {
    auto found = bins.find(std::floor(wanted[i] / bin_width));
    int64_t count = found == bins.end() ? 0 : found->second;
    double error = std::abs(guessed[i] - wanted[i]);
    all.add(error);
    (count > t.many_above ? many : count < t.few_below ? few : medium).add(error);
  }
  return {all.errors(), many.errors(), medium.errors(), few.errors()};
}

}  // namespace plumb::metrics
