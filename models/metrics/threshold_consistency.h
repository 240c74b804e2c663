// How well one similarity threshold serves all classes of a retrieval or verification system: accept and reject rates of each class along
// thresholds, and how far apart the classes are (OPIS).
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::metrics {

// Embeddings [n, d] are brought to length 1; similarities are cosines in f64, worked out a class at a time. labels i64 [n], any numbers.
// All throw ShapeError for shapes that do not fit, DTypeError for other labels, ValueError naming an embedding that is 0 or not finite.

/// Rates of the classes with at least two examples, in order of their labels. For class c, positives are pairs (anchor in c, another in c)
/// and negatives pairs (anchor in c, another of another class):
///   TPR_c(t) = P(s ≥ t | positive),  TNR_c(t) = P(s < t | negative),  U_c(t) = 2 TPR TNR / (TPR + TNR), 0 where both are 0.
struct ClassUtilityCurves {
  std::vector<double> thresholds;                      ///< ascending
  std::vector<int64_t> classes;                        ///< their labels
  int64_t skipped = 0;                                 ///< classes left out for having a single example
  std::vector<std::vector<double>> tpr, tnr, utility;  ///< [class][threshold]
};
/// Throws ValueError for fewer than two thresholds, ones that do not ascend, no class with two examples, or a single class.
ClassUtilityCurves class_utility_curves(const Tensor& embeddings, const Tensor& labels, const std::vector<double>& thresholds);

/// Operating-point inconsistency score (Zhang et al., ICLR 2024): 1/(T (t_max − t_min)) Σ_c ∫ (U_c(t) − Ū(t))² dt over the curves'
/// thresholds, by trapezoids; Ū is the mean over the T classes. 0 where all classes are alike: also where none is recognised, so look at
/// the recall as well.
double opis(const ClassUtilityCurves& curves);

/// The same gap between extremes: the mean curve of the max(1, round(ε T)) classes with the least mean utility against that of as many with
/// the largest.
struct ExtremeGap {
  double absolute = 0;  ///< ∫ |U_best − U_worst| dt / (t_max − t_min)
  double squared = 0;   ///< ∫ (U_best − U_worst)² dt / (t_max − t_min)
};
/// Throws ValueError unless 0 < ε ≤ ½.
ExtremeGap eps_opis(const ClassUtilityCurves& curves, double epsilon = 0.1);

/// The threshold at which a share `far` of all pairs of different classes is accepted: the 1 − far quantile of their similarities, between
/// order statistics by a line. Throws ValueError unless 0 < far < 1, or where there is no such pair.
double threshold_at_far(const Tensor& embeddings, const Tensor& labels, double far);

/// The share of examples whose nearest other example, by cosine (of equal ones the first), has their label. Throws ValueError for fewer
/// than two.
double recall_at_1(const Tensor& embeddings, const Tensor& labels);

struct ConsistencyOptions {
  double far_low = 1e-2, far_high = 1e-1;  ///< thresholds from t(far_high) to t(far_low), the same rule for every model
  int64_t points = 101;
  double epsilon = 0.1;
};
struct ThresholdConsistency {
  double opis = 0;
  ExtremeGap extremes;
  double recall_at_1 = 0;
  double frr = 0;         ///< share of all positive pairs rejected at t(far_low)
  double frr_spread = 0;  ///< standard deviation over classes of 1 − TPR_c there (divisor T)
  double threshold = 0;   ///< t(far_low)
  int64_t skipped = 0;
};
/// All of it. Throws ValueError unless 0 < far_low < far_high < 1 and points ≥ 2, or where both rates have the same threshold.
ThresholdConsistency threshold_consistency(const Tensor& embeddings, const Tensor& labels, const ConsistencyOptions& options = {});

}  // namespace plumb::metrics
