// Measures of generated samples by nearest neighbours: precision and recall, density and coverage, and copies of training examples.
// Examples are rows [n, d] of features or of pixels; distances are Euclidean, summed in f64.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::metrics {

/// Where an example's nearest neighbour is, and how far: [n], i64 and f64.
struct Nearest {
  Tensor index, distance;
};
/// For each row of `queries` [n, d] the nearest row of `points` [m, d]. Throws ShapeError unless both are matrices of one width with rows.
Nearest nearest(const Tensor& queries, const Tensor& points);
/// For each row its distance to the k-th nearest other row, [n], f64. Throws ValueError unless 1 ≤ k < n.
Tensor kth_neighbour_distance(const Tensor& points, int64_t k);

struct PrecisionRecall {
  double precision;  ///< share of samples within the k-th neighbour's distance of some real example: are they real?
  double recall;     ///< share of real examples within that of some sample: is everything there?
  double density;    ///< how many real examples' balls a sample lies in, over k (Naeem et al. 2020); may exceed 1
  double coverage;   ///< share of real examples with a sample strictly nearer than their own k-th neighbour (Naeem et al. 2020)
};
/// Improved precision and recall (Kynkäänniemi et al. 2019), k = 3 there; density and coverage of the same balls (k = 5 there).
/// Throws ShapeError for widths that differ, ValueError unless k is below the number of rows of both.
PrecisionRecall precision_recall(const Tensor& real, const Tensor& samples, int64_t k = 3);

/// The distance below which a sample counts as a copy: the `share` quantile of the distances of unseen real examples to their nearest
/// training example. A generator that does not copy has a share of about `share` below it.
double copy_threshold(const Tensor& held_out, const Tensor& training, double share = 0.01);
/// Share of samples whose nearest training example is nearer than `threshold`.
double share_of_copies(const Tensor& samples, const Tensor& training, double threshold);

}  // namespace plumb::metrics
