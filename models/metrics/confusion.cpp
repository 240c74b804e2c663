// The confusion matrix and its measures.
#include "models/metrics/confusion.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <string>

namespace plumb::metrics {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

double ratio(double part, double whole) { return whole == 0 ? kNaN : part / whole; }

double mean_of_defined(const std::vector<double>& values, size_t from = 0) {
  double total = 0, count = 0;
  for (size_t i = from; i < values.size(); ++i)
    if (!std::isnan(values[i])) total += values[i], ++count;
  return ratio(total, count);
}

void check_pairs(const char* op, const Tensor& predicted, const Tensor& labels) {
  if (predicted.shape() != labels.shape())
    throw ShapeError(std::string(op) + ": predictions " + to_string(predicted.shape()) + " and labels " + to_string(labels.shape()) +
                     " differ");
  for (const Tensor* t : {&predicted, &labels})
    if (is_floating(t->dtype())) throw DTypeError(std::string(op) + ": takes class numbers, got " + std::string(name(t->dtype())));
}

}  // namespace

ConfusionMatrix::ConfusionMatrix(int64_t classes, int64_t ignore_index) : classes_(classes), ignore_index_(ignore_index) {
  if (classes < 1) throw ValueError("ConfusionMatrix: needs at least 1 class, got " + std::to_string(classes));
  counts_.resize(static_cast<size_t>(classes * classes));
}

void ConfusionMatrix::add(const Tensor& predicted, const Tensor& labels) {
  check_pairs("ConfusionMatrix", predicted, labels);
  std::vector<int64_t> guesses = to_vector<int64_t>(predicted), truths = to_vector<int64_t>(labels), counts = counts_;
  auto check = [&](const char* what, int64_t c) {
    if (c < 0 || c >= classes_)
      throw IndexError("ConfusionMatrix: " + std::string(what) + " " + std::to_string(c) + " is outside [0, " + std::to_string(classes_) +
                       ")");
  };
  for (size_t i = 0; i < truths.size(); ++i) {
    if (truths[i] == ignore_index_) continue;
    check("label", truths[i]);
    check("prediction", guesses[i]);
    ++counts[static_cast<size_t>(truths[i] * classes_ + guesses[i])];
  }
  counts_ = std::move(counts);
}

int64_t ConfusionMatrix::total() const { return std::accumulate(counts_.begin(), counts_.end(), int64_t{0}); }

int64_t ConfusionMatrix::labelled(int64_t c) const {
  int64_t n = 0;
  for (int64_t p = 0; p < classes_; ++p) n += count(c, p);
  return n;
}

int64_t ConfusionMatrix::guessed(int64_t c) const {
  int64_t n = 0;
  for (int64_t l = 0; l < classes_; ++l) n += count(l, c);
  return n;
}

double ConfusionMatrix::accuracy() const {
  int64_t right = 0;
  for (int64_t c = 0; c < classes_; ++c) right += count(c, c);
  return ratio(static_cast<double>(right), static_cast<double>(total()));
}

std::vector<double> ConfusionMatrix::recalls() const {
  std::vector<double> values;
  for (int64_t c = 0; c < classes_; ++c) values.push_back(ratio(static_cast<double>(count(c, c)), static_cast<double>(labelled(c))));
  return values;
}

std::vector<double> ConfusionMatrix::precisions() const {
  std::vector<double> values;
  for (int64_t c = 0; c < classes_; ++c) values.push_back(ratio(static_cast<double>(count(c, c)), static_cast<double>(guessed(c))));
  return values;
}

double ConfusionMatrix::balanced_accuracy() const { return mean_of_defined(recalls()); }

std::vector<double> ConfusionMatrix::f1() const {
  std::vector<double> values;
  for (int64_t c = 0; c < classes_; ++c)
    values.push_back(ratio(2.0 * static_cast<double>(count(c, c)), static_cast<double>(labelled(c) + guessed(c))));
  return values;
}

double ConfusionMatrix::macro_f1() const { return mean_of_defined(f1()); }

std::vector<double> ConfusionMatrix::iou() const {
  std::vector<double> values;
  for (int64_t c = 0; c < classes_; ++c)
    values.push_back(ratio(static_cast<double>(count(c, c)), static_cast<double>(labelled(c) + guessed(c) - count(c, c))));
  return values;
}

double ConfusionMatrix::mean_iou() const { return mean_of_defined(iou()); }

double ConfusionMatrix::mean_dice(bool with_background) const { return mean_of_defined(f1(), with_background ? 0 : 1); }

double ConfusionMatrix::kappa(Weights weights) const {
  double seen = 0, expected = 0, n = static_cast<double>(total());
  for (int64_t l = 0; l < classes_; ++l)
    for (int64_t p = 0; p < classes_; ++p) {
      double d = std::abs(static_cast<double>(l - p)), w = weights == Weights::equal    ? (l == p ? 0.0 : 1.0)
                                                           : weights == Weights::linear ? d
                                                                                        : d * d;
      seen += w * static_cast<double>(count(l, p));
      expected += w * static_cast<double>(labelled(l)) * static_cast<double>(guessed(p)) / n;
    }
  return 1 - ratio(seen, expected);
}

double accuracy(const Tensor& predicted, const Tensor& labels) {
  check_pairs("accuracy", predicted, labels);
  if (labels.numel() == 0) throw ValueError("accuracy: there are no labels");
  std::vector<int64_t> p = to_vector<int64_t>(predicted), l = to_vector<int64_t>(labels);
  double right = 0;
  for (size_t i = 0; i < l.size(); ++i) right += p[i] == l[i] ? 1 : 0;
  return right / static_cast<double>(l.size());
}

double top_k_accuracy(const Tensor& scores, const Tensor& labels, int64_t k) {
  if (scores.rank() != 2 || labels.rank() != 1 || labels.size(0) != scores.size(0))
    throw ShapeError("top_k_accuracy: takes scores [n, C] and labels [n], got " + to_string(scores.shape()) + " and " +
                     to_string(labels.shape()));
  if (scores.size(0) == 0 || k < 1 || k > scores.size(1))
    throw ValueError("top_k_accuracy: k = " + std::to_string(k) + " must lie in [1, C] and there must be rows; scores are " +
                     to_string(scores.shape()));
  std::vector<double> s = to_vector(scores);
  std::vector<int64_t> l = to_vector<int64_t>(labels);
  size_t classes = static_cast<size_t>(scores.size(1));
  double right = 0;
  for (size_t i = 0; i < l.size(); ++i) {
    if (l[i] < 0 || l[i] >= scores.size(1))
      throw IndexError("top_k_accuracy: label " + std::to_string(l[i]) + " is outside [0, " + std::to_string(classes) + ")");
    size_t own = static_cast<size_t>(l[i]);
    int64_t before = 0;
    for (size_t c = 0; c < classes; ++c) {
      double other = s[i * classes + c], mine = s[i * classes + own];
      bool after = c == own || other < mine || (other == mine && c > own);
      if (!after) ++before;  // NaN, of either, counts against the label
    }
    right += before < k ? 1 : 0;
  }
  return right / static_cast<double>(l.size());
}

double balanced_accuracy(const Tensor& predicted, const Tensor& labels) {
  check_pairs("balanced_accuracy", predicted, labels);
  if (labels.numel() == 0) throw ValueError("balanced_accuracy: there are no labels");
  struct Seen {
    double right = 0, all = 0;
  };
  std::map<int64_t, Seen> seen;  // by label: numbers of classes may be far apart
  std::vector<int64_t> p = to_vector<int64_t>(predicted), l = to_vector<int64_t>(labels);
  for (size_t i = 0; i < l.size(); ++i) {
    seen[l[i]].all += 1;
    seen[l[i]].right += p[i] == l[i] ? 1 : 0;
  }
  double recalls = 0;
  for (const auto& [label, s] : seen) recalls += s.right / s.all;
  return recalls / static_cast<double>(seen.size());
}

double f1_score(const Tensor& predicted, const Tensor& labels) {
  ConfusionMatrix confusion(2);
  confusion.add(predicted, labels);
  double value = confusion.f1()[1];
  return std::isnan(value) ? 0 : value;
}

}  // namespace plumb::metrics
