// Threshold-consistent margins: a regulariser of similarities by which one threshold comes to serve all classes.
#pragma once
#include <cstdint>

#include "engine/core/tensor.h"
#include "methods/experiment.h"

namespace plumb::methods::tcm {

struct TcmOptions {
  double positive_margin = 0.9, negative_margin = 0.5;  ///< m⁺, m⁻: cosines
  double positive_weight = 1, negative_weight = 1;      ///< λ⁺, λ⁻; 0 leaves a half out
  bool crossed = false;                                 ///< allows m⁺ < m⁻
  /// Throws ValueError for a margin outside [−1, 1], m⁺ < m⁻ unless crossed, or a weight that is negative or NaN.
  void check() const;
};

struct TcmLoss {
  Tensor loss;
  int64_t hard_positives = 0, hard_negatives = 0;
};

/// Zhang et al., "Threshold-Consistent Margin Loss for Open-World Deep Metric Learning", ICLR 2024, over the pairs i < j of a batch:
///   λ⁺ mean of (m⁺ − s) over pairs of one label with s ≤ m⁺   +   λ⁻ mean of (s − m⁻) over pairs of two labels with s ≥ m⁻
/// to be added to any loss. The means are over these hard pairs alone, so that the term does not fade as they become few; a half without
/// any is 0. Counts have no gradient. similarity [n, n]: cosines (of unit_rows, methods/common/metric_losses.h); labels i64 [n].
/// Throws ShapeError for others, and as TcmOptions::check.
TcmLoss tcm_loss(const Tensor& similarity, const Tensor& labels, const TcmOptions& options = {});

Experiment experiment();

}  // namespace plumb::methods::tcm
