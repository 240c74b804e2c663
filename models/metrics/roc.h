// How well scores tell positives from negatives: ROC curves and the area under them, average precision.
#pragma once
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::metrics {

/// The area under the ROC curve: P(a positive's score > a negative's) + ½ P(they are equal), of scores [n] and `positive` [n] (0 and 1, or
/// bool). By sorting, O(n log n). Throws ShapeError if they are not two vectors of one length, ValueError naming a score that is NaN, a
/// label that is neither 0 nor 1, or where positives or negatives are missing. The same errors throw the functions below.
double roc_auc(const Tensor& scores, const Tensor& positive);
/// One class against the others, averaged over the classes of labels [n] that are neither absent nor everything; probabilities [n, C].
double macro_roc_auc(const Tensor& probabilities, const Tensor& labels);

/// Points in order of falling thresholds, from (0, 0) at +∞ to (1, 1): "positive" means a score ≥ threshold. One point a different score.
struct RocCurve {
  std::vector<double> threshold, false_positive_rate, true_positive_rate;
};
RocCurve roc_curve(const Tensor& scores, const Tensor& positive);
/// The threshold where true minus false positive rate is largest (Youden 1950), of several the highest.
double youden_threshold(const RocCurve& curve);

/// Σ (R_i − R_{i−1}) P_i over the different scores from the top, R recall and P precision: the area under the precision–recall curve as
/// steps.
double average_precision(const Tensor& scores, const Tensor& positive);

}  // namespace plumb::metrics
