// How different samples are that resemble the same few examples: whether a generator does more than repeat them.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::metrics {

/// Each of samples [n, d] goes to its nearest of examples [k, d]; the mean distance of the pairs within each group, averaged over the
/// groups that have a pair (Ojha et al., CVPR 2021, with Euclidean distances of any features); NaN if none has. f64. Throws ShapeError for
/// widths that differ or empty sets.
double intra_cluster_distance(const Tensor& samples, const Tensor& examples);

}  // namespace plumb::metrics
