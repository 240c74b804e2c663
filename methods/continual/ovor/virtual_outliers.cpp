// Virtual outliers: distances in f64 by plain search, candidates in the order boundary point, offset.
#include "methods/continual/ovor/virtual_outliers.h"

#include <fmt/format.h>

#include <algorithm>

#include "models/cluster/k_nearest.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "ops/sort.h"

namespace plumb::methods::ovor {
namespace {

Tensor directions(const Tensor& x) { return normalize(to(x, f64), 2, 1); }

void check_features(const Tensor& features, int64_t neighbour) {
  if (features.rank() != 2) throw ShapeError("ovor: features must be [n, d], they are " + to_string(features.shape()));
  if (neighbour < 1 || neighbour > features.size(0))
    throw ValueError(fmt::format("ovor: the neighbour K = {} must lie in [1, {}], the number of features", neighbour, features.size(0)));
}

// The squared distance to the k-th nearest of `points`.
Tensor score_of(const Tensor& queries, const Tensor& points, int64_t k, bool others = false) {
  Tensor distance = select(cluster::k_nearest(queries, points, k, others).distance, 1, k - 1);
  return distance * distance;
}

}  // namespace

void OutlierOptions::check() const {
  auto positive = [](const char* what, int64_t value) {
    if (value < 1) throw ValueError(fmt::format("ovor: {} must be at least 1, it is {}", what, value));
  };
  positive("the neighbour", neighbour);
  positive("the number of boundary points", boundary);
  positive("the number of offsets", offsets);
  positive("the number kept per class", keep_per_class);
  if (!(sigma > 0)) throw ValueError(fmt::format("ovor: sigma must be positive, it is {}", sigma));
}

Tensor boundary_scores(const Tensor& features, int64_t neighbour, bool count_self) {
  check_features(features, neighbour + (count_self ? 0 : 1));
  Tensor d = directions(features.detach());
  return score_of(d, d, neighbour, !count_self);
}

VirtualOutliers sample_outliers(const Tensor& features, int64_t classes, const OutlierOptions& o, Generator& generator) {
  o.check();
  check_features(features, o.neighbour);
  if (classes < 1) throw ValueError(fmt::format("ovor: outliers for {} classes", classes));
  Tensor z = features.detach(), points = directions(z);
  Tensor boundary = topk(boundary_scores(z, o.neighbour), std::min(o.boundary, z.size(0))).indices;
  Tensor centers = index_select(z, 0, boundary);
  if (o.center == Center::origin) centers = zeros_like(centers);
  Tensor offsets = o.sigma * randn({o.offsets, z.size(1)}, {.dtype = z.dtype(), .generator = &generator});
  Tensor candidates = flatten(unsqueeze(centers, 1) + unsqueeze(offsets, 0), 0, 1);
  Tensor score = score_of(o.raw ? to(candidates, f64) : directions(candidates), points, o.neighbour);
  auto best = topk(score, std::min(candidates.size(0), o.keep_per_class * classes));
  return {index_select(candidates, 0, best.indices), best.values, boundary};
}

void Margins::check() const {
  if (!(in < out)) throw ValueError(fmt::format("ovor: the inliers' margin {} must be below the outliers' {}", in, out));
}

Tensor energy_hinge_loss(const Tensor& inliers, const Tensor& outliers, const Margins& margins) {
  margins.check();
  if (!inliers.defined() && !outliers.defined()) throw ValueError("ovor: a hinge needs energies of inliers or of outliers");
  auto term = [](const Tensor& excess) {
    Tensor a = clamp_min(excess, 0);
    return huber_loss(a, zeros_like(a));
  };
  Tensor loss;
  if (inliers.defined()) loss = term(inliers - margins.in);
  if (outliers.defined()) loss = loss.defined() ? loss + term(margins.out - outliers) : term(margins.out - outliers);
  return loss;
}

}  // namespace plumb::methods::ovor
