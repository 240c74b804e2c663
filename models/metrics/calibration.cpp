// Calibration errors and proper scores, in f64 on the host.
#include "models/metrics/calibration.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

namespace plumb::metrics {
namespace {

void check_probability(const char* op, double p, size_t at) {
  if (!(p >= 0 && p <= 1 + 1e-6))
    throw ValueError(std::string(op) + ": number " + std::to_string(at) + " is " + decimal(p) + ", not a probability");
}

struct Judged {
  std::vector<double> confidence, correct;
};

Judged read(const char* op, const Tensor& confidence, const Tensor& correct) {
  if (confidence.rank() != 1 || confidence.shape() != correct.shape())
    throw ShapeError(std::string(op) + ": takes confidences [n] and outcomes [n], got " + to_string(confidence.shape()) + " and " +
                     to_string(correct.shape()));
  Judged j{to_vector(confidence), to_vector(correct)};
  for (size_t i = 0; i < j.confidence.size(); ++i) check_probability(op, j.confidence[i], i);
  return j;
}

// Rows of class probabilities with their labels.
struct Rows {
  size_t n, classes;
  std::vector<double> p;
  std::vector<int64_t> labels;
  double at(size_t i, size_t c) const { return p[i * classes + c]; }
};

Rows read_rows(const char* op, const Tensor& probabilities, const Tensor& labels) {
  if (probabilities.rank() != 2 || labels.rank() != 1 || labels.size(0) != probabilities.size(0) || probabilities.size(1) < 1)
    throw ShapeError(std::string(op) + ": takes probabilities [n, C] and labels [n], got " + to_string(probabilities.shape()) + " and " +
                     to_string(labels.shape()));
  Rows r{static_cast<size_t>(probabilities.size(0)), static_cast<size_t>(probabilities.size(1)), to_vector(probabilities),
         to_vector<int64_t>(labels)};
  for (size_t i = 0; i < r.p.size(); ++i) check_probability(op, r.p[i], i);
  for (int64_t l : r.labels)
    if (l < 0 || l >= probabilities.size(1))
      throw IndexError(std::string(op) + ": label " + std::to_string(l) + " is outside [0, " + std::to_string(r.classes) + ")");
  return r;
}

Judged top_labels(const Rows& r) {
  Judged j;
  for (size_t i = 0; i < r.n; ++i) {
    size_t best = 0;
    for (size_t c = 1; c < r.classes; ++c)
      if (r.at(i, c) > r.at(i, best)) best = c;
    j.confidence.push_back(r.at(i, best));
    j.correct.push_back(static_cast<int64_t>(best) == r.labels[i] ? 1 : 0);
  }
  return j;
}

std::vector<CalibrationBin> bins_of(const char* op, const Judged& j, int64_t bins) {
  if (bins < 1) throw ValueError(std::string(op) + ": needs at least 1 bin, got " + std::to_string(bins));
  std::vector<CalibrationBin> found(static_cast<size_t>(bins));
  double width = 1 / static_cast<double>(bins);
  for (size_t b = 0; b < found.size(); ++b)
    found[b].low = width * static_cast<double>(b), found[b].high = width * static_cast<double>(b + 1);
  for (size_t i = 0; i < j.confidence.size(); ++i) {
    auto place = static_cast<int64_t>(std::ceil(j.confidence[i] * static_cast<double>(bins))) - 1;
    CalibrationBin& bin = found[static_cast<size_t>(std::clamp<int64_t>(place, 0, bins - 1))];
    ++bin.count;
    bin.confidence += j.confidence[i];
    bin.accuracy += j.correct[i];
  }
  for (CalibrationBin& bin : found)
    if (bin.count > 0) bin.confidence /= static_cast<double>(bin.count), bin.accuracy /= static_cast<double>(bin.count);
  return found;
}

}  // namespace

std::vector<CalibrationBin> calibration_bins(const Tensor& confidence, const Tensor& correct, int64_t bins) {
  return bins_of("calibration_bins", read("calibration_bins", confidence, correct), bins);
}

double expected_calibration_error(const std::vector<CalibrationBin>& bins) {
  double total = 0, n = 0;
  for (const CalibrationBin& b : bins) {
    total += static_cast<double>(b.count) * std::abs(b.accuracy - b.confidence);
    n += static_cast<double>(b.count);
  }
  return n == 0 ? std::numeric_limits<double>::quiet_NaN() : total / n;
}

double maximum_calibration_error(const std::vector<CalibrationBin>& bins) {
  double worst = 0;
  for (const CalibrationBin& b : bins)
    if (b.count > 0) worst = std::max(worst, std::abs(b.accuracy - b.confidence));
  return worst;
}

std::vector<CalibrationBin> top_label_bins(const Tensor& probabilities, const Tensor& labels, int64_t bins) {
  return bins_of("top_label_bins", top_labels(read_rows("top_label_bins", probabilities, labels)), bins);
}

double expected_calibration_error(const Tensor& probabilities, const Tensor& labels, int64_t bins) {
  return expected_calibration_error(
      bins_of("expected_calibration_error", top_labels(read_rows("expected_calibration_error", probabilities, labels)), bins));
}

double negative_log_likelihood(const Tensor& probabilities, const Tensor& labels, double floor) {
  Rows r = read_rows("negative_log_likelihood", probabilities, labels);
  double total = 0;
  for (size_t i = 0; i < r.n; ++i) total -= std::log(std::max(r.at(i, static_cast<size_t>(r.labels[i])), floor));
  return total / static_cast<double>(r.n);
}

double brier_score(const Tensor& probabilities, const Tensor& labels) {
  Rows r = read_rows("brier_score", probabilities, labels);
  double total = 0;
  for (size_t i = 0; i < r.n; ++i)
    for (size_t c = 0; c < r.classes; ++c) {
      double d = r.at(i, c) - (static_cast<int64_t>(c) == r.labels[i] ? 1 : 0);
      total += d * d;
    }
  return total / static_cast<double>(r.n);
}

RiskCoverage risk_coverage(const Tensor& confidence, const Tensor& correct) {
  Judged j = read("risk_coverage", confidence, correct);
  size_t n = j.confidence.size();
  if (n == 0) throw ValueError("risk_coverage: there are no examples");
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return j.confidence[a] > j.confidence[b]; });
  RiskCoverage found;
  double errors = 0;
  for (size_t k = 0; k < n; ++k) {
    errors += 1 - j.correct[order[k]];
    found.risk.push_back(errors / static_cast<double>(k + 1));
    found.area += found.risk.back() / static_cast<double>(n);
  }
  double best = 0;  // all errors last: i errors among the first n − errors + i
  for (double i = 1; i <= errors; ++i) best += i / (static_cast<double>(n) - errors + i) / static_cast<double>(n);
  found.excess = found.area - best;
  return found;
}

CalibrationReport calibration_report(const Tensor& probabilities, const Tensor& labels, int64_t bins) {
  Rows r = read_rows("calibration_report", probabilities, labels);
  Judged j = top_labels(r);
  RiskCoverage risk = risk_coverage(from_vector(j.confidence), from_vector(j.correct));
  return {.error = risk.risk.back(),
          .nll = negative_log_likelihood(probabilities, labels),
          .ece = expected_calibration_error(bins_of("calibration_report", j, bins)),
          .aurc = risk.area,
          .excess_aurc = risk.excess};
}

}  // namespace plumb::metrics
