// Nearest neighbours by blocks of a distance matrix in f64: what f32 would lose by cancellation is what tells a copy.
#include "models/metrics/neighbours.h"

#include <limits>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "models/cluster/distances.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/sort.h"

namespace plumb::metrics {
namespace {

using cluster::check_rows;
using cluster::each_distance_block;

// Rows of a that lie within the radius (given squared, so that ties stay ties) of some row of b, as counts of such rows.
Tensor balls_around(const Tensor& a, const Tensor& b, const Tensor& squared_radius) {
  std::vector<Tensor> counts;
  each_distance_block(a, b, [&](int64_t, const Tensor& d2) { counts.push_back(count_nonzero(d2 <= squared_radius, {1})); });
  return cat(counts);
}

// Squared distances to the k-th neighbours.
Tensor kth_squares(const Tensor& points, int64_t k) {
  if (k < 1 || k >= points.size(0))
    throw ValueError("kth_neighbour_distance: k = " + std::to_string(k) + " must lie in [1, " + std::to_string(points.size(0)) +
                     ") for so many examples");
  std::vector<Tensor> squares;
  each_distance_block(points, points, [&](int64_t row, const Tensor& d2) {
    Tensor at = unsqueeze(arange(row, row + d2.size(0), 1, i64, d2.device()), 1), itself = at == arange(0, d2.size(1), 1, i64, d2.device());
    squares.push_back(kthvalue(where(itself, std::numeric_limits<double>::infinity(), d2), k, 1).values);
  });
  return cat(squares);
}

}  // namespace

Nearest nearest(const Tensor& queries, const Tensor& points) {
  NoGrad off;
  check_rows("nearest", queries, points);
  std::vector<Tensor> index, distance;
  each_distance_block(queries, points, [&](int64_t, const Tensor& d2) {
    auto [d, i] = min(d2, 1);
    index.push_back(i);
    distance.push_back(sqrt(d));
  });
  return {cat(index), cat(distance)};
}

Tensor kth_neighbour_distance(const Tensor& points, int64_t k) {
  NoGrad off;
  check_rows("kth_neighbour_distance", points, points);
  return sqrt(kth_squares(points, k));
}

PrecisionRecall precision_recall(const Tensor& real, const Tensor& samples, int64_t k) {
  NoGrad off;
  check_rows("precision_recall", real, samples);
  Tensor real_radius = kth_squares(real, k), sample_radius = kth_squares(samples, k);
  auto share = [](const Tensor& holds) { return mean(to(holds, f64)).item(); };
  Tensor around = balls_around(samples, real, real_radius);
  return {.precision = share(around > 0),
          .recall = share(balls_around(real, samples, sample_radius) > 0),
          .density = share(around) / static_cast<double>(k),
          .coverage = share(nearest(real, samples).distance < sqrt(real_radius))};
}

double copy_threshold(const Tensor& held_out, const Tensor& training, double share) {
  if (!(share >= 0 && share <= 1)) throw ValueError("copy_threshold: the share must lie in [0, 1], it is " + decimal(share));
  return quantile(nearest(held_out, training).distance, share).item();
}

double share_of_copies(const Tensor& samples, const Tensor& training, double threshold) {
  return mean(to(nearest(samples, training).distance < threshold, f64)).item();
}

}  // namespace plumb::metrics
