// Nearest neighbours by blocks of a distance matrix, ‖a − b‖² = ‖a‖² + ‖b‖² − 2⟨a, b⟩ in f64: what f32 would lose by cancellation is what
// tells a copy.
#include "models/metrics/neighbours.h"

#include <algorithm>
#include <limits>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/sort.h"

namespace plumb::metrics {
namespace {

constexpr int64_t kBlock = 128;

void check(const char* op, const Tensor& a, const Tensor& b) {
  if (a.rank() != 2 || b.rank() != 2 || a.size(1) != b.size(1) || a.size(0) < 1 || b.size(0) < 1)
    throw ShapeError(std::string(op) + ": takes rows [n, d] and [m, d], got " + to_string(a.shape()) + " and " + to_string(b.shape()));
}

// f(first row, squared distances [rows, m]) for blocks of a's rows.
template <typename F>
void each_block(const Tensor& a, const Tensor& b, F&& f) {
  Tensor points = contiguous(to(b, f64)), norms = sum(square(points), {1});
  for (int64_t row = 0; row < a.size(0); row += kBlock) {
    Tensor x = to(narrow(a, 0, row, std::min(kBlock, a.size(0) - row)), f64);
    f(row, clamp_min(sum(square(x), {1}, true) + norms - matmul(x, mT(points)) * 2, 0));
  }
}

// Rows of a that lie within the radius of some row of b, as counts of such rows.
Tensor balls_around(const Tensor& a, const Tensor& b, const Tensor& radius) {
  std::vector<Tensor> counts;
  each_block(a, b, [&](int64_t, const Tensor& d2) { counts.push_back(count_nonzero(d2 <= square(radius), {1})); });
  return cat(counts);
}

}  // namespace

Nearest nearest(const Tensor& queries, const Tensor& points) {
  NoGrad off;
  check("nearest", queries, points);
  std::vector<Tensor> index, distance;
  each_block(queries, points, [&](int64_t, const Tensor& d2) {
    auto [d, i] = min(d2, 1);
    index.push_back(i);
    distance.push_back(sqrt(d));
  });
  return {cat(index), cat(distance)};
}

Tensor kth_neighbour_distance(const Tensor& points, int64_t k) {
  NoGrad off;
  check("kth_neighbour_distance", points, points);
  if (k < 1 || k >= points.size(0)) throw ValueError("kth_neighbour_distance: k = " + std::to_string(k) + " must lie in [1, " + std::to_string(points.size(0)) + ") for so many examples");
  std::vector<Tensor> distance;
  each_block(points, points, [&](int64_t row, const Tensor& d2) {
    Tensor own = d2;
    for (int64_t i = 0; i < own.size(0); ++i) own.data<double>()[i * own.size(1) + row + i] = std::numeric_limits<double>::infinity();  // not itself
    distance.push_back(sqrt(kthvalue(own, k, 1).values));
  });
  return cat(distance);
}

PrecisionRecall precision_recall(const Tensor& real, const Tensor& samples, int64_t k) {
  NoGrad off;
  check("precision_recall", real, samples);
  Tensor real_radius = kth_neighbour_distance(real, k), sample_radius = kth_neighbour_distance(samples, k);
  auto share = [](const Tensor& holds) { return mean(to(holds, f64)).item(); };
  Tensor around = balls_around(samples, real, real_radius);
  return {.precision = share(around > 0),
          .recall = share(balls_around(real, samples, sample_radius) > 0),
          .density = share(around) / static_cast<double>(k),
          .coverage = share(nearest(real, samples).distance < real_radius)};
}

double copy_threshold(const Tensor& held_out, const Tensor& training, double share) {
  if (!(share >= 0 && share <= 1)) throw ValueError("copy_threshold: the share must lie in [0, 1], it is " + std::to_string(share));
  return quantile(nearest(held_out, training).distance, share).item();
}

double share_of_copies(const Tensor& samples, const Tensor& training, double threshold) {
  return mean(to(nearest(samples, training).distance < threshold, f64)).item();
}

}  // namespace plumb::metrics
