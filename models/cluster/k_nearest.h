// Nearest neighbours by plain search, and classification by their votes.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::cluster {

struct Neighbours {
  Tensor index;     ///< [n, k], i64, nearest first; of equally near ones the earlier
  Tensor distance;  ///< [n, k], f64, Euclidean
};
/// For each row of `queries` [n, d] its k nearest rows of `points` [m, d]. Distances are sums of squared differences in f64, so ties are
/// exact. With `others`, queries are the points themselves and row i is not its own neighbour. Throws ShapeError unless both are matrices
/// of one width with rows, ValueError unless 1 ≤ k ≤ m (m − 1 with others).
Neighbours k_nearest(const Tensor& queries, const Tensor& points, int64_t k, bool others = false);
/// The same among the rows of one matrix, without themselves.
Neighbours k_nearest(const Tensor& points, int64_t k);

struct VoteOptions {
  int64_t k = 20;
  /// Votes weigh e^(−d² / 2τ): on vectors of length 1 that is e^(cosine / τ) up to a factor (Wu et al. 2018, who take 0.07). 0: all the
  /// same.
  double temperature = 0;
};
/// Share of the votes of the k nearest points for each class, [n, classes], f64; labels [m] of the points. Throws as k_nearest, IndexError
/// naming a label outside [0, classes).
Tensor neighbour_votes(const Tensor& queries, const Tensor& points, const Tensor& labels, int64_t classes, const VoteOptions& options = {});
/// The class with the most votes, of equals the first: [n], i64.
Tensor neighbour_classes(const Tensor& queries, const Tensor& points, const Tensor& labels, int64_t classes,
                         const VoteOptions& options = {});

}  // namespace plumb::cluster
