// The Fréchet distance of normal distributions.
#include "models/metrics/frechet.h"

#include <algorithm>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::metrics {

FeatureStatistics feature_statistics(const Tensor& features) {
  NoGrad off;
  if (features.rank() != 2) throw ShapeError("feature_statistics: takes features [n, d], got " + to_string(features.shape()));
  if (features.size(0) < 2)
    throw ValueError("feature_statistics: a covariance needs at least 2 rows, got " + std::to_string(features.size(0)));
  Tensor x = to(features, f64), m = mean(x, {0}), centred = x - m;
  return {m, matmul(mT(centred), centred) / static_cast<double>(x.size(0) - 1)};
}

Tensor symmetric_sqrt(const Tensor& a) {
  NoGrad off;
  auto [values, vectors] = eigh(a);
  return matmul(vectors * sqrt(clamp_min(values, 0)), mT(vectors));
}

double frechet_distance(const FeatureStatistics& a, const FeatureStatistics& b) {
  NoGrad off;
  if (a.mean.shape() != b.mean.shape() || a.covariance.shape() != b.covariance.shape())
    throw ShapeError("frechet_distance: features of sizes " + to_string(a.mean.shape()) + " and " + to_string(b.mean.shape()) + " differ");
  Tensor root = symmetric_sqrt(a.covariance), product = matmul(matmul(root, b.covariance), root);
  Tensor values = eigh((product + mT(product)) * 0.5).values;  // tr of the root is the sum of the eigenvalues' roots
  double cross = sum(sqrt(clamp_min(values, 0))).item();
  double traces = sum(diagonal(a.covariance)).item() + sum(diagonal(b.covariance)).item();
  return std::max(sum(square(a.mean - b.mean)).item() + traces - 2 * cross, 0.0);
}

double frechet_distance(const Tensor& a, const Tensor& b) { return frechet_distance(feature_statistics(a), feature_statistics(b)); }

}  // namespace plumb::metrics
