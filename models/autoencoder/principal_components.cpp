// Principal components through the eigenvectors of the covariance, in f64.
#include "models/autoencoder/principal_components.h"

#include <cmath>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "models/metrics/frechet.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::autoencoder {

PrincipalComponents::PrincipalComponents(const Tensor& rows, int64_t k) {
  if (rows.rank() != 2) throw ShapeError("principal_components: takes rows [n, d], got " + to_string(rows.shape()));
  int64_t d = rows.size(1);
  if (rows.size(0) < 2 || k < 1 || k > d)
    throw ValueError("principal_components: " + std::to_string(k) + " components of " + std::to_string(rows.size(0)) + " rows of " +
                     std::to_string(d) + " numbers");
  NoGrad off;
  metrics::FeatureStatistics statistics = metrics::feature_statistics(rows);
  Eigh axes = eigh(to(statistics.covariance, Device(cpu)));
  std::vector<double> all = to_vector(axes.values), v = to_vector(axes.vectors), chosen(static_cast<size_t>(d * k));
  double total = 0;
  for (double value : all) total += value;
  for (int64_t c = 0; c < k; ++c) {
    int64_t from = d - 1 - c;
    double largest = 0;
    for (int64_t i = 0; i < d; ++i) {
      double at = v[static_cast<size_t>(i * d + from)];
      if (std::abs(at) > std::abs(largest)) largest = at;
    }
    for (int64_t i = 0; i < d; ++i) chosen[static_cast<size_t>(i * k + c)] = v[static_cast<size_t>(i * d + from)] * (largest < 0 ? -1 : 1);
    variances_.push_back(all[static_cast<size_t>(from)]);
    kept_ += variances_.back() / total;
  }
  mean_ = to(to(statistics.mean, rows.dtype()), rows.device());
  axes_ = to(to(from_vector(chosen, {d, k}), rows.dtype()), rows.device());
}

Tensor PrincipalComponents::encode(const Tensor& rows) const { return matmul(rows - mean_, axes_); }
Tensor PrincipalComponents::decode(const Tensor& codes) const { return mean_ + matmul(codes, transpose(axes_, 0, 1)); }

}  // namespace plumb::autoencoder
