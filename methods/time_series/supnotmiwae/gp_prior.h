// A Gaussian process over time as the prior of a latent series, and log-densities of normal distributions.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::methods::supnotmiwae {

struct GpPriorOptions {
  double length_scale = 7;  ///< ℓ, in steps
  double variance = 1.005;
  double jitter = 0.001;
};

/// Each dimension of z by itself ~ N(0, C) over the steps: C_ij = variance / (1 + (i − j)²/ℓ²) + jitter δ_ij (Cauchy's kernel, Fortuin et
/// al. 2020). A series of length L has the leading L × L block, which is its exact marginal.
class GpPrior {
 public:
  /// Throws ValueError for steps < 1 or options that are not positive (ℓ may be 0: independent steps).
  GpPrior(int64_t steps, const GpPriorOptions& options = {});
  /// z [.., B, T, Z], length [B] (i64) → [.., B], summed over dimensions. T is at most steps. With C = L Lᵀ the block of the first L steps
  /// has the leading block of L, so sums over whitened steps end at the length.
  Tensor log_density(const Tensor& z, const Tensor& length) const;
  const Tensor& covariance() const { return covariance_; }  ///< [steps, steps], f64

 private:
  Tensor covariance_, whitening_, log_diagonal_;  // f64: C, L⁻¹, log L_ii
};

/// log N(x; mean, deviation²), element by element; shapes broadcast.
Tensor normal_log_density(const Tensor& x, const Tensor& mean, const Tensor& deviation);

}  // namespace plumb::methods::supnotmiwae
