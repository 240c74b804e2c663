// How far an unlearned model is from one that never saw the data, as distributions over training: the divergence of margins.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::metrics {

struct KlomOptions {
  int64_t bins = 20;
  double clip = 100;  ///< margins are held within [−clip, clip]
  double eps = 1e-5;  ///< the least probability of an oracle's bin where an unlearned model was seen
  /// As in the released benchmark: values at the upper end of the range fall into no bin. Off by default, so that all are counted.
  bool drop_top_edge = false;
};

/// KL divergence of margins (KLOM; Georgiev et al., ICLR 2025): for each of n points KL(p ‖ q) in nats of two histograms over `bins` equal
/// bins of their joint range, p of the margins of N unlearned models and q of N oracles that were trained without the forget set; q is at
/// least eps where p is positive, and then normalised again. [N, n], [N, n] → f64 [n]; 0 where all margins of a point are equal. At most
/// log(1/eps) and a little; N models of one kind against N others are above 0 too, which is the floor to compare with. Throws ShapeError
/// for other ranks, unequal N or n; ValueError for no models, bins < 1, or clip or eps that are not positive, or a margin that is NaN.
Tensor klom(const Tensor& unlearned, const Tensor& oracle, const KlomOptions& options = {});

struct KlomSummary {
  double p95 = 0;  ///< the 95th percentile over points, linear between order statistics
  double mean = 0;
};
/// Throws ValueError for no points.
KlomSummary summarise_klom(const Tensor& per_point);

}  // namespace plumb::metrics
