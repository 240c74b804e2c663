// k-means (Lloyd 1982), started by k-means++ (Arthur & Vassilvitskii 2007).
#pragma once
#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::cluster {

struct KMeansOptions {
  int64_t restarts = 10;     ///< of which the one with the least inertia is kept
  int64_t iterations = 300;  ///< at most, of each
  Generator* generator = nullptr;
};

struct KMeans {
  Tensor centres;      ///< [k, d], f64
  Tensor assignment;   ///< [n], i64: the nearest centre, of equally near ones the first
  double inertia = 0;  ///< Σ squared distances to it
  int64_t iterations = 0;
  bool converged = false;  ///< the last iteration changed no assignment
};

/// Clusters the rows of x [n, d], in f64. A cluster left empty takes the example farthest from its own centre. Throws ShapeError unless x
/// is a matrix, ValueError unless 1 ≤ k ≤ n, restarts and iterations ≥ 1 and all values are finite.
KMeans kmeans(const Tensor& x, int64_t k, const KMeansOptions& options = {});
/// The same from given centres [k, d], once.
KMeans kmeans_from(const Tensor& x, const Tensor& centres, int64_t iterations = 300);
/// k rows of x, the first at random, every further one with probability ∝ its squared distance from the nearest before it: [k] places, i64.
Tensor kmeans_plus_plus(const Tensor& x, int64_t k, Generator* generator = nullptr);

}  // namespace plumb::cluster
