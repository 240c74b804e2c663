// The energy distance between two clouds of points: zero only between equal distributions, without features or bins.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::metrics {

/// 2 E‖x − y‖ − E‖x − x'‖ − E‖y − y'‖ (Székely & Rizzo 2013), without a root: means over all pairs, a point with itself among them, so that
/// it is the distance of the two empirical distributions, never below 0. a [n, d], b [m, d]; computed in f64, the same for any number of
/// threads. Throws ShapeError for widths that differ or empty clouds.
double energy_distance(const Tensor& a, const Tensor& b);

/// E‖x − y‖ over all pairs.
double mean_distance(const Tensor& a, const Tensor& b);

}  // namespace plumb::metrics
