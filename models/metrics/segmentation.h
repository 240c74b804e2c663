// How well a mask covers what it should: overlap, and distances between surfaces.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::metrics {

/// 2 |P ∩ T| / (|P| + |T|) of two masks (bool or integers, not 0 is inside) of one shape; 1 where both are empty. Throws ShapeError.
double dice_score(const Tensor& prediction, const Tensor& target);

/// The 95th percentile (linear between neighbours) of the distances, in pixels, from every surface pixel of either mask [H, W] to the
/// nearest surface pixel of the other: the Hausdorff distance without its outliers. Surface pixels are those inside with a neighbour above,
/// below, left or right that is outside, or beyond the border. 0 where both are empty; where one is, the diagonal √(H² + W²).
/// Throws ShapeError for other ranks or shapes that differ.
double hd95(const Tensor& prediction, const Tensor& target);

}  // namespace plumb::metrics
