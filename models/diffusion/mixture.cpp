// Mixtures of normal distributions at every noise level.
#include "models/diffusion/mixture.h"

#include <cmath>
#include <numbers>

#include "engine/autograd/grad_mode.h"
#include "models/diffusion/precondition.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::diffusion {

ExactMixture::ExactMixture(const data::GaussianMixture& m) {
  data::gaussian_mixture(0, m);  // the checks
  NoGrad off;
  means_ = to(m.means, f64);
  int64_t K = means_.size(0), D = means_.size(1);
  if (m.covariances.defined()) {
    auto [values, vectors] = eigh(to(m.covariances, f64));
    variances_ = values;
    axes_ = vectors;
  } else {
    variances_ = full({K, D}, m.scale * m.scale, f64);
    axes_ = contiguous(expand(plumb::eye(D, D, f64), {K, D, D}));
  }
  Tensor weights = m.weights.empty() ? ones({K}, f64) : from_vector(m.weights);
  log_weights_ = log(weights / sum(weights));
}

Tensor ExactMixture::placed(const Tensor& constant, const Tensor& x) const { return to(to(constant, x.dtype()), x.device()); }

ExactMixture::Terms ExactMixture::terms(const Tensor& x, const Tensor& sigma) const {
  if (x.rank() != 2 || x.size(1) != means_.size(1))
    throw ShapeError("mixture: takes points [B, " + std::to_string(means_.size(1)) + "], got " + to_string(x.shape()));
  Tensor away = unsqueeze(x, 1) - placed(means_, x);                        // [B, K, D]
  Tensor along = squeeze(matmul(unsqueeze(away, 2), placed(axes_, x)), 2);  // Vᵀ (x − μ)
  Tensor variance = placed(variances_, x) + per_example(placed(square(sigma), x), along);
  Tensor log_normal = sum(square(along) / variance + log(variance * (2 * std::numbers::pi)), {2}) * -0.5;
  return {placed(log_weights_, x) + log_normal, along, variance};
}

Tensor ExactMixture::operator()(const Tensor& x, const Tensor& sigma) const {
  Terms t = terms(x, sigma);
  Tensor shrunk = placed(variances_, x) / t.variance * t.along;
  Tensor centres = placed(means_, x) + squeeze(matmul(unsqueeze(shrunk, 2), mT(placed(axes_, x))), 2);  // [B, K, D]
  return sum(unsqueeze(softmax(t.log_joint, 1), 2) * centres, {1});
}

Tensor ExactMixture::log_density(const Tensor& x, const Tensor& sigma) const { return logsumexp(terms(x, sigma).log_joint, {1}); }
Tensor ExactMixture::responsibilities(const Tensor& x, const Tensor& sigma) const { return softmax(terms(x, sigma).log_joint, 1); }

}  // namespace plumb::diffusion
