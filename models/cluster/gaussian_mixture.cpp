// EM over triangular roots of the covariances.
#include "models/cluster/gaussian_mixture.h"

#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "engine/autograd/grad_mode.h"
#include "models/cluster/kmeans.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::cluster {
namespace {

void check(const Tensor& x, const MixtureOptions& o) {
  if (x.rank() != 2 || x.size(0) < 1) throw ShapeError("fit_mixture: takes rows [n, d], got " + to_string(x.shape()));
  if (o.iterations < 1) throw ValueError("fit_mixture: iterations must be at least 1, they are " + std::to_string(o.iterations));
  if (!(o.floor >= 0)) throw ValueError("fit_mixture: the floor must not be negative, it is " + decimal(o.floor));
}

// The covariance kept to its kind, with the floor.
Tensor restricted(const Tensor& covariance, const MixtureOptions& o) {
  int64_t d = covariance.size(0);
  Tensor kept = covariance;
  if (o.covariance == Covariance::diagonal) kept = diag(diagonal(covariance));
  if (o.covariance == Covariance::spherical) kept = eye(d, -1, f64) * mean(diagonal(covariance));
  return kept + eye(d, -1, f64) * o.floor;
}

}  // namespace

Tensor GaussianMixture::log_joint(const Tensor& x) const {
  NoGrad off;
  if (x.rank() != 2 || x.size(1) != means.size(1))
    throw ShapeError("log_joint: takes rows of " + std::to_string(means.size(1)) + " numbers, got " + to_string(x.shape()));
  Tensor roots = cholesky(covariances), wide = to(x, f64);
  double constant = 0.5 * static_cast<double>(x.size(1)) * std::log(2 * std::numbers::pi);
  std::vector<Tensor> columns;
  for (int64_t k = 0; k < components(); ++k) {
    Tensor root = select(roots, 0, k), z = triangular_solve(root, mT(wide - select(means, 0, k)));
    columns.push_back(log(select(weights, 0, k)) - sum(log(diagonal(root))) - constant - sum(square(z), {0}) * 0.5);
  }
  return stack(columns, 1);
}

Tensor GaussianMixture::log_density(const Tensor& x) const { return logsumexp(log_joint(x), {1}); }
Tensor GaussianMixture::responsibilities(const Tensor& x) const { return softmax(log_joint(x), 1); }
Tensor GaussianMixture::predict(const Tensor& x) const { return argmax(log_joint(x), 1); }

Tensor GaussianMixture::sample(int64_t n, Generator* generator) const {
  NoGrad off;
  Tensor k = multinomial(weights, n, true, generator), roots = cholesky(covariances);
  Tensor z = randn({n, means.size(1), 1}, {.dtype = f64, .generator = generator});
  return index_select(means, 0, k) + squeeze(matmul(index_select(roots, 0, k), z), -1);
}

GaussianMixture mixture_of_shares(const Tensor& x, const Tensor& shares, const MixtureOptions& o) {
  NoGrad off;
  check(x, o);
  if (shares.rank() != 2 || shares.size(0) != x.size(0))
    throw ShapeError("mixture_of_shares: takes shares [n, K] of " + std::to_string(x.size(0)) + " rows, got " + to_string(shares.shape()));
  Tensor wide = to(x, f64), r = to(shares, f64);
  Tensor counts = sum(r, {0}) + 1e-12;  // a component that nobody belongs to does not divide by 0
  GaussianMixture m{counts / sum(counts), matmul(mT(r), wide) / unsqueeze(counts, 1), {}};
  std::vector<Tensor> covariances;
  for (int64_t k = 0; k < r.size(1); ++k) {
    Tensor centred = wide - select(m.means, 0, k);
    covariances.push_back(restricted(matmul(mT(centred * narrow(r, 1, k, 1)), centred) / select(counts, 0, k), o));
  }
  m.covariances = stack(covariances, 0);
  return m;
}

MixtureFit fit_mixture(const Tensor& x, const GaussianMixture& start, const MixtureOptions& o) {
  NoGrad off;
  check(x, o);
  MixtureFit fit{start, mean(start.log_density(x)).item(), 0, false};
  while (fit.iterations < o.iterations && !fit.converged) {
    fit.mixture = mixture_of_shares(x, fit.mixture.responsibilities(x), o);
    double next = mean(fit.mixture.log_density(x)).item();
    fit.converged = next - fit.log_likelihood <= o.tolerance;
    fit.log_likelihood = next;
    ++fit.iterations;
  }
  return fit;
}

MixtureFit fit_mixture(const Tensor& x, int64_t components, const MixtureOptions& o) {
  NoGrad off;
  check(x, o);
  Tensor clusters = kmeans(x, components, {.generator = o.generator}).assignment;
  Tensor shares = to(unsqueeze(clusters, 1) == arange(components), f64);
  return fit_mixture(x, mixture_of_shares(x, shares, o), o);
}

}  // namespace plumb::cluster
