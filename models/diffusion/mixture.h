// Mixtures of normal distributions as generated problems whose every quantity is known: density, denoiser, class of each point.
#pragma once
#include "engine/core/tensor.h"
#include "engine/data/points.h"

namespace plumb::diffusion {

/// x = x₀ + σ z with x₀ from Σ_k w_k N(μ_k, Σ_k): at every level again a mixture, of N(μ_k, Σ_k + σ² I). A Denoiser, differentiable in x
/// and σ: the teacher without error of methods that are tested in the plane, and the oracle that tells which component a point comes from.
class ExactMixture {
 public:
  /// Throws as data::gaussian_mixture does.
  explicit ExactMixture(const data::GaussianMixture& mixture);

  /// E[x₀ | x] = Σ_k p(k | x) (μ_k + Σ_k (Σ_k + σ² I)⁻¹ (x − μ_k)): x [B, D], σ [B] → [B, D].
  Tensor operator()(const Tensor& x, const Tensor& sigma) const;
  /// log p_σ(x), [B]. σ = 0 is allowed where no covariance is singular.
  Tensor log_density(const Tensor& x, const Tensor& sigma) const;
  /// p(k | x), [B, K].
  Tensor responsibilities(const Tensor& x, const Tensor& sigma) const;

  int64_t components() const { return means_.size(0); }

 private:
  struct Terms {
    Tensor log_joint;  ///< log w_k + log N(x; μ_k, Σ_k + σ² I), [B, K]
    Tensor along;      ///< (x − μ_k) in the axes of Σ_k, [B, K, D]
    Tensor variance;   ///< Σ_k's variances along them + σ², [B, K, D]
  };
  Terms terms(const Tensor& x, const Tensor& sigma) const;
  Tensor placed(const Tensor& constant, const Tensor& x) const;

  Tensor means_, axes_, variances_, log_weights_;  // f64: [K, D], [K, D, D], [K, D], [K]
};

}  // namespace plumb::diffusion
