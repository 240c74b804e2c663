// Do probabilities mean what they say? Calibration errors, proper scores, and what confidence is worth.
#pragma once
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::metrics {

/// Examples whose confidence lies in (low, high]; 0 belongs to the first.
struct CalibrationBin {
  double low = 0, high = 0;
  int64_t count = 0;
  double confidence = 0, accuracy = 0;  ///< means over the bin; 0 in an empty one
};
/// Of confidences [n] in [0, 1] and whether each came true, `correct` [n] (0 and 1, or bool), in equal bins: a reliability diagram. For a
/// binary classifier pass P(y = 1) and y. Throws ShapeError unless they are vectors of one length, ValueError for bins < 1 or a confidence
/// outside [0, 1], which it names.
std::vector<CalibrationBin> calibration_bins(const Tensor& confidence, const Tensor& correct, int64_t bins = 15);
/// Σ_b n_b / n · |accuracy_b − confidence_b| (Guo et al. 2017). NaN of nothing.
double expected_calibration_error(const std::vector<CalibrationBin>& bins);
/// max_b |accuracy_b − confidence_b| over bins with examples.
double maximum_calibration_error(const std::vector<CalibrationBin>& bins);

/// The bins of the largest probability in each row of probabilities [n, C], with labels [n]. Of equal ones the lowest class.
/// Throws ShapeError, IndexError naming a label outside [0, C), ValueError for a probability outside [0, 1], as do the functions below.
std::vector<CalibrationBin> top_label_bins(const Tensor& probabilities, const Tensor& labels, int64_t bins = 15);
/// The expected calibration error of these bins.
double expected_calibration_error(const Tensor& probabilities, const Tensor& labels, int64_t bins = 15);

/// Mean of −log p(label), in nats; p is at least `floor`. probabilities [n, C], labels [n].
double negative_log_likelihood(const Tensor& probabilities, const Tensor& labels, double floor = 1e-12);
/// Mean over examples of Σ_c (p_c − [c = label])² (Brier 1950); twice the (p − y)² of a binary classifier's P(y = 1).
double brier_score(const Tensor& probabilities, const Tensor& labels);

/// What confidence is worth for choosing whom to answer (Geifman & El-Yaniv 2017, 2019).
struct RiskCoverage {
  std::vector<double> risk;  ///< errors among the k most confident / k, for k = 1 … n; equal confidences in the order given
  double area = 0;           ///< AURC, the mean risk
  double excess = 0;         ///< AURC above that of an order with all errors last
};
/// Throws as calibration_bins, ValueError of nothing.
RiskCoverage risk_coverage(const Tensor& confidence, const Tensor& correct);

/// What is usually said about a classifier's probabilities, together.
struct CalibrationReport {
  double error = 0;        ///< share of wrong answers
  double nll = 0;          ///< in nats
  double ece = 0;          ///< expected calibration error of the largest probability
  double aurc = 0;         ///< area under the risk–coverage curve of the largest probability
  double excess_aurc = 0;  ///< E-AURC
};
/// probabilities [n, C], labels [n]. Throws as its parts: top_label_bins, negative_log_likelihood, risk_coverage.
CalibrationReport calibration_report(const Tensor& probabilities, const Tensor& labels, int64_t bins = 10);

}  // namespace plumb::metrics
