// Lloyd's iteration on rows in f64.
#include "models/cluster/kmeans.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "engine/autograd/grad_mode.h"
#include "models/cluster/distances.h"
#include "ops/index.h"

namespace plumb::cluster {
namespace {

void check(const char* op, const Tensor& x, int64_t k) {
  if (x.rank() != 2) throw ShapeError(std::string(op) + ": takes rows [n, d], got " + to_string(x.shape()));
  if (k < 1 || k > x.size(0))
    throw ValueError(std::string(op) + ": k = " + std::to_string(k) + " must lie in [1, " + std::to_string(x.size(0)) +
                     "], the number of rows");
  for (double v : to_vector(x))
    if (!std::isfinite(v)) throw ValueError(std::string(op) + ": a value is not finite");
}

struct Rows {
  size_t n, d;
  std::vector<double> v;
  const double* row(size_t i) const { return v.data() + i * d; }
};

Rows rows_of(const Tensor& x) { return {static_cast<size_t>(x.size(0)), static_cast<size_t>(x.size(1)), to_vector(x)}; }

double squared_distance(const double* a, const double* b, size_t d) {
  double total = 0;
  for (size_t i = 0; i < d; ++i) total += (a[i] - b[i]) * (a[i] - b[i]);
  return total;
}

struct Assigned {
  std::vector<int64_t> centre;
  std::vector<double> distance;  // squared
};

Assigned assign(const Tensor& x, const Tensor& centres) {
  Assigned a;
  each_distance_block(x, centres, [&](int64_t, const Tensor& d2) {
    auto [distance, index] = min(d2, 1);
    for (int64_t i : to_vector<int64_t>(index)) a.centre.push_back(i);
    for (double d : to_vector(distance)) a.distance.push_back(d);
  });
  return a;
}

// Gives every empty cluster the example that is farthest from its centre, of a cluster that has others.
void fill_empty(Assigned& a, size_t k) {
  std::vector<size_t> count(k);
  for (int64_t c : a.centre) ++count[static_cast<size_t>(c)];
  for (size_t c = 0; c < k; ++c) {
    if (count[c] > 0) continue;
    size_t far = a.centre.size();
    for (size_t i = 0; i < a.centre.size(); ++i)
      if (count[static_cast<size_t>(a.centre[i])] > 1 && (far == a.centre.size() || a.distance[i] > a.distance[far])) far = i;
    --count[static_cast<size_t>(a.centre[far])];
    ++count[c];
    a.centre[far] = static_cast<int64_t>(c);
    a.distance[far] = 0;
  }
}

Tensor means_of(const Rows& rows, const std::vector<int64_t>& centre, size_t k) {
  std::vector<double> sums(k * rows.d), count(k);
  for (size_t i = 0; i < rows.n; ++i) {
    auto c = static_cast<size_t>(centre[i]);
    count[c] += 1;
    for (size_t j = 0; j < rows.d; ++j) sums[c * rows.d + j] += rows.row(i)[j];
  }
  for (size_t c = 0; c < k; ++c)
    for (size_t j = 0; j < rows.d; ++j) sums[c * rows.d + j] /= count[c];
  return from_vector(sums, {static_cast<int64_t>(k), static_cast<int64_t>(rows.d)});
}

KMeans lloyd(const Tensor& x, const Rows& rows, Tensor centres, int64_t iterations) {
  auto k = static_cast<size_t>(centres.size(0));
  Assigned a = assign(x, centres);
  KMeans found;
  while (found.iterations < iterations && !found.converged) {
    fill_empty(a, k);
    centres = means_of(rows, a.centre, k);
    Assigned next = assign(x, centres);
    found.converged = next.centre == a.centre;
    a = std::move(next);
    ++found.iterations;
  }
  for (size_t i = 0; i < rows.n; ++i)
    found.inertia += squared_distance(rows.row(i), centres.data<double>() + static_cast<size_t>(a.centre[i]) * rows.d, rows.d);
  found.centres = centres;
  found.assignment = from_vector(a.centre);
  return found;
}

// The first place where the running sum of weights exceeds a random share of the total; any place where all are 0.
size_t drawn(const std::vector<double>& weights, double total, Generator& generator) {
  if (total <= 0) return static_cast<size_t>(generator.next_below(weights.size()));
  double goal = generator.next_double() * total, sum = 0;
  size_t last = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] <= 0) continue;
    sum += weights[i];
    last = i;
    if (sum > goal) break;
  }
  return last;
}

std::vector<int64_t> spread_places(const Rows& rows, size_t k, Generator& generator) {
  std::vector<int64_t> places;
  std::vector<double> distance(rows.n, std::numeric_limits<double>::infinity());
  for (size_t at = static_cast<size_t>(generator.next_below(rows.n));;) {
    places.push_back(static_cast<int64_t>(at));
    if (places.size() == k) return places;
    double total = 0;
    for (size_t i = 0; i < rows.n; ++i) {
      distance[i] = std::min(distance[i], squared_distance(rows.row(i), rows.row(at), rows.d));
      total += distance[i];
    }
    at = drawn(distance, total, generator);
  }
}

}  // namespace

Tensor kmeans_plus_plus(const Tensor& x, int64_t k, Generator* generator) {
  check("kmeans_plus_plus", x, k);
  return from_vector(spread_places(rows_of(x), static_cast<size_t>(k), generator ? *generator : default_generator()));
}

KMeans kmeans(const Tensor& x, int64_t k, const KMeansOptions& o) {
  NoGrad off;
  check("kmeans", x, k);
  if (o.restarts < 1 || o.iterations < 1)
    throw ValueError("kmeans: restarts and iterations must be at least 1, they are " + std::to_string(o.restarts) + " and " +
                     std::to_string(o.iterations));
  Generator& generator = o.generator ? *o.generator : default_generator();
  Tensor wide = to(x, f64);
  Rows rows = rows_of(wide);
  KMeans best;
  for (int64_t r = 0; r < o.restarts; ++r) {
    Tensor places = from_vector(spread_places(rows, static_cast<size_t>(k), generator));
    KMeans found = lloyd(wide, rows, index_select(wide, 0, places), o.iterations);
    if (r == 0 || found.inertia < best.inertia) best = found;
  }
  return best;
}

KMeans kmeans_from(const Tensor& x, const Tensor& centres, int64_t iterations) {
  NoGrad off;
  check_rows("kmeans_from", x, centres);
  check("kmeans_from", x, centres.size(0));
  if (iterations < 1) throw ValueError("kmeans_from: iterations must be at least 1, they are " + std::to_string(iterations));
  Tensor wide = to(x, f64);
  return lloyd(wide, rows_of(wide), contiguous(to(centres, f64)), iterations);
}

}  // namespace plumb::cluster
