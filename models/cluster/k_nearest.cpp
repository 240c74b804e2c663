// Plain search: every distance once, the k least kept.
#include "models/cluster/k_nearest.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "engine/core/parallel.h"
#include "models/cluster/distances.h"

namespace plumb::cluster {
namespace {

// The places of the k least distances of one query, nearest first.
void search(const double* query, const std::vector<double>& points, size_t d, int64_t left_out, std::vector<double>& distances,
            std::vector<int64_t>& order, size_t k) {
  for (size_t j = 0; j < distances.size(); ++j) {
    double total = 0;
    for (size_t c = 0; c < d; ++c) total += (query[c] - points[j * d + c]) * (query[c] - points[j * d + c]);
    distances[j] = total;
  }
  std::iota(order.begin(), order.end(), 0);
  if (left_out >= 0) distances[static_cast<size_t>(left_out)] = INFINITY;
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k), order.end(), [&](int64_t a, int64_t b) {
    double da = distances[static_cast<size_t>(a)], db = distances[static_cast<size_t>(b)];
    return da != db ? da < db : a < b;
  });
}

}  // namespace

Neighbours k_nearest(const Tensor& queries, const Tensor& points, int64_t k, bool others) {
  check_rows("k_nearest", queries, points);
  int64_t most = points.size(0) - (others ? 1 : 0);
  if (others && queries.size(0) != points.size(0))
    throw ShapeError("k_nearest: neighbours among the others need the points as queries, got " + to_string(queries.shape()) + " and " +
                     to_string(points.shape()));
  if (k < 1 || k > most)
    throw ValueError("k_nearest: k = " + std::to_string(k) + " must lie in [1, " + std::to_string(most) + "] for so many points");
  std::vector<double> q = to_vector(queries), p = to_vector(points);
  auto d = static_cast<size_t>(points.size(1)), m = static_cast<size_t>(points.size(0)), kept = static_cast<size_t>(k);
  Neighbours found{empty({queries.size(0), k}, i64), empty({queries.size(0), k}, f64)};
  auto* index = found.index.data<int64_t>();
  auto* distance = found.distance.data<double>();
  parallel_for(queries.size(0), 16, [&](int64_t begin, int64_t end) {
    std::vector<double> distances(m);
    std::vector<int64_t> order(m);
    for (int64_t i = begin; i < end; ++i) {
      search(q.data() + static_cast<size_t>(i) * d, p, d, others ? i : -1, distances, order, kept);
      for (size_t j = 0; j < kept; ++j) {
        index[static_cast<size_t>(i) * kept + j] = order[j];
        distance[static_cast<size_t>(i) * kept + j] = std::sqrt(distances[static_cast<size_t>(order[j])]);
      }
    }
  });
  return found;
}

Neighbours k_nearest(const Tensor& points, int64_t k) { return k_nearest(points, points, k, true); }

Tensor neighbour_votes(const Tensor& queries, const Tensor& points, const Tensor& labels, int64_t classes, const VoteOptions& o) {
  if (labels.rank() != 1 || points.rank() != 2 || labels.size(0) != points.size(0))
    throw ShapeError("neighbour_votes: takes points [m, d] with labels [m], got " + to_string(points.shape()) + " and " +
                     to_string(labels.shape()));
  std::vector<int64_t> l = to_vector<int64_t>(labels);
  for (int64_t c : l)
    if (c < 0 || c >= classes)
      throw IndexError("neighbour_votes: label " + std::to_string(c) + " is outside [0, " + std::to_string(classes) + ")");
  Neighbours near = k_nearest(queries, points, o.k);
  Tensor votes = zeros({queries.size(0), classes}, f64);
  for (int64_t i = 0; i < queries.size(0); ++i) {
    const double* distance = near.distance.data<double>() + i * o.k;
    double total = 0;
    for (int64_t j = 0; j < o.k; ++j) {  // relative to the nearest, so that the largest weight is 1
      double excess = distance[j] * distance[j] - distance[0] * distance[0],
             weight = o.temperature > 0 ? std::exp(-excess / (2 * o.temperature)) : 1;
      votes.data<double>()[i * classes + l[static_cast<size_t>(near.index.data<int64_t>()[i * o.k + j])]] += weight;
      total += weight;
    }
    for (int64_t c = 0; c < classes; ++c) votes.data<double>()[i * classes + c] /= total;
  }
  return votes;
}

Tensor neighbour_classes(const Tensor& queries, const Tensor& points, const Tensor& labels, int64_t classes, const VoteOptions& options) {
  return argmax(neighbour_votes(queries, points, labels, classes, options), 1);
}

}  // namespace plumb::cluster
