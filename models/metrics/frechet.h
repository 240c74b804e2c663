// The Fréchet distance between two clouds of features, taken as normal distributions: FID (Heusel et al. 2017), on any features.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::metrics {

/// Mean [d] and covariance [d, d] (divided by n − 1), f64.
struct FeatureStatistics {
  Tensor mean, covariance;
};

/// Of features [n, d]. Throws ShapeError for another rank, ValueError for fewer than two rows.
FeatureStatistics feature_statistics(const Tensor& features);

/// ‖m₁ − m₂‖² + tr(C₁ + C₂ − 2 (C₁^½ C₂ C₁^½)^½), in f64; roots through eigenvalues of symmetric matrices, negative ones (rounding) as 0.
/// Never below 0. Throws ShapeError for sizes that differ.
double frechet_distance(const FeatureStatistics& a, const FeatureStatistics& b);
/// The same of two sets of features [n, d] and [m, d].
double frechet_distance(const Tensor& a, const Tensor& b);

/// The symmetric positive semidefinite root of such a matrix.
Tensor symmetric_sqrt(const Tensor& a);

}  // namespace plumb::metrics
