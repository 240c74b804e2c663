// Mixtures of normal distributions, fitted by expectation maximisation (Dempster, Laird & Rubin 1977).
#pragma once
#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::cluster {

/// Σ_k w_k N(x; μ_k, Σ_k) over rows of d numbers. Everything is f64.
struct GaussianMixture {
  Tensor weights;      ///< [K], sum 1
  Tensor means;        ///< [K, d]
  Tensor covariances;  ///< [K, d, d], positive definite

  int64_t components() const { return weights.size(0); }
  /// log w_k + log N(x_i; μ_k, Σ_k), [n, K]. Throws ShapeError for rows of another width, ValueError for a covariance that is not positive
  /// definite.
  Tensor log_joint(const Tensor& x) const;
  Tensor log_density(const Tensor& x) const;                       ///< log p(x_i), [n]
  Tensor responsibilities(const Tensor& x) const;                  ///< P(k | x_i), [n, K]
  Tensor predict(const Tensor& x) const;                           ///< the most probable component, [n], i64
  Tensor sample(int64_t n, Generator* generator = nullptr) const;  ///< [n, d]
};

enum class Covariance { full, diagonal, spherical };

struct MixtureOptions {
  Covariance covariance = Covariance::full;
  int64_t iterations = 200;  ///< at most
  double tolerance = 1e-8;   ///< stops when the mean log-likelihood grew by no more
  double floor = 1e-6;       ///< added to every variance, which keeps a component from collapsing onto one example
  Generator* generator = nullptr;
};

struct MixtureFit {
  GaussianMixture mixture;
  double log_likelihood = 0;  ///< mean log p(x_i) of the mixture
  int64_t iterations = 0;
  bool converged = false;
};

/// From `start`. Throws ShapeError unless x is [n, d] with rows, as log_joint, ValueError for iterations < 1 or a negative floor.
MixtureFit fit_mixture(const Tensor& x, const GaussianMixture& start, const MixtureOptions& options = {});
/// From the clusters of kmeans. Throws as kmeans.
MixtureFit fit_mixture(const Tensor& x, int64_t components, const MixtureOptions& options = {});
/// The mixture that maximises the likelihood where row i belongs to component k with share r[i, k], [n, K].
GaussianMixture mixture_of_shares(const Tensor& x, const Tensor& shares, const MixtureOptions& options = {});

}  // namespace plumb::cluster
