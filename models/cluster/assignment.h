// The cheapest one-to-one assignment of rows to columns, and how well clusters agree with classes under the best one.
#pragma once
#include <cstdint>
#include <utility>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::cluster {

/// (row, column) pairs in the order of rows.
using Pairs = std::vector<std::pair<int64_t, int64_t>>;

/// The cheapest one-to-one assignment of min(n, m) rows and columns of cost [n, m]: the Hungarian algorithm, by shortest augmenting paths
/// with potentials (Jonker & Volgenant 1987), O(min² max). Of several cheapest ones always the same. For the dearest pass −cost. Throws
/// ShapeError unless cost is a matrix, ValueError naming an entry that is not finite.
Pairs linear_assignment(const Tensor& cost);

/// For each cluster 0 … max(clusters) the class that it is matched with where most examples agree (each class once; −1 for clusters that
/// are left over). clusters and labels [n], integers ≥ 0. Throws ShapeError if they differ, IndexError for a negative number.
std::vector<int64_t> match_clusters(const Tensor& clusters, const Tensor& labels);
/// Share of examples whose cluster's class is theirs: the accuracy of a clustering under the best matching. ValueError of no examples.
double cluster_accuracy(const Tensor& clusters, const Tensor& labels);

}  // namespace plumb::cluster
