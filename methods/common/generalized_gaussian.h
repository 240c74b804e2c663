// The generalised Gaussian distribution, which trained weights follow with a shape below 2: density, draws, and its fit by moments.
#pragma once
#include <cstdint>
#include <vector>

#include "ops/random.h"

namespace plumb::methods {

/// p(x) = ν / (2 a Γ(1/ν)) exp(−(|x| / a)^ν): ν = 2 is the normal distribution of deviation a/√2, ν = 1 Laplace's of scale a.
/// All functions throw ValueError unless ν and a are positive and finite.
struct GeneralizedGaussian {
  double shape = 2;  ///< ν
  double scale = 1;  ///< a

  double log_density(double x) const;
  double cdf(double x) const;
  /// The x with cdf(x) = p, to a few ε relative, by safeguarded Newton steps. Throws ValueError unless 0 < p < 1.
  double quantile(double p) const;
  /// 1/ν − log(ν / (2 a Γ(1/ν))), in nats.
  double entropy() const;
  /// a² Γ(3/ν) / Γ(1/ν), and E|x| = a Γ(2/ν) / Γ(1/ν).
  double variance() const;
  double mean_abs() const;
  /// s a g^(1/ν) with s = ±1 and g of the gamma distribution with concentration 1/ν.
  Tensor sample(const Shape& shape, RandomOptions options = {}) const;
  /// Throws ValueError.
  void check() const;

  /// The one of shape ν with this variance: a = √(variance Γ(1/ν) / Γ(3/ν)).
  static GeneralizedGaussian of_variance(double shape, double variance);
};

/// ρ(ν) = E x² / (E|x|)² = Γ(1/ν) Γ(3/ν) / Γ(2/ν)²: falls with ν, from 2 at Laplace's distribution to π/2 at the normal one.
double moment_ratio(double shape);

/// Sums over weights, in f64.
struct WeightMoments {
  double sum_abs = 0, sum_squares = 0;
  int64_t count = 0;
};
/// Over all elements of all tensors. Throws ValueError for no elements.
WeightMoments weight_moments(const std::vector<Tensor>& parameters);

struct ShapeFit {
  double shape;      ///< ν̂ of the table 0.10, 0.11, …, 3.00
  double ratio;      ///< ρ̂ = n Σ w² / (Σ |w|)²
  double deviation;  ///< √(Σ w² / n)
  bool saturated;    ///< ρ̂ lies beyond the table's ends
};
/// The entry of the table whose ρ is nearest to ρ̂. Throws ValueError for no weights, or for zeros alone, which have no ρ̂.
ShapeFit fit_moments(const WeightMoments& moments);

}  // namespace plumb::methods
