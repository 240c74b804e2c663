// Matches the predictions of a set to ground-truth objects.
#pragma once
#include "models/cluster/assignment.h"

namespace plumb::detection {

using cluster::linear_assignment;
using cluster::Pairs;

/// The assignment of OTA's simple form (Ge et al. 2021), in which an object may have several predictions: for cost and iou [n, m] (rows are
/// predictions, columns objects), object g takes its k_g cheapest predictions, k_g = max(1, ⌊Σ of its `top` largest IoUs⌋) and at most n; a
/// prediction taken by several keeps the one that is cheapest for it; an object left without any takes its cheapest free prediction. Equal
/// costs: the first. Throws ShapeError unless both are of one shape [n, m], ValueError where there are fewer predictions than objects.
Pairs dynamic_k_assignment(const Tensor& cost, const Tensor& iou, int64_t top = 5);

}  // namespace plumb::detection
