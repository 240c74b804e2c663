// Draws from the gamma, beta, Dirichlet and Poisson distributions. As in ops/random.h, element i of a draw depends on the seed, on where
// the generator stood and on i alone: a draw of n elements takes n counters, element i the Philox streams 0, 1, 2, … of counter offset + i,
// of which a rejected attempt uses up the first ones. Everything is computed in f64. Draws have no derivative.
//
// Parameters are tensors of floating types that broadcast, or plain numbers. Throws ValueError naming the parameter unless all are
// positive and finite (rates of poisson may be 0).
#pragma once
#include "ops/random.h"

namespace plumb {

/// Density rateᵃ x^(a − 1) e^(−rate x) / Γ(a), x > 0, with a = concentration (Marsaglia & Tsang 2000; below 1 by the density of a + 1, in
/// logarithms). Small concentrations give numbers that round to 0.
Tensor gamma(const Tensor& concentration, const Tensor& rate, Generator* generator = nullptr);
Tensor gamma(const Shape& shape, double concentration, double rate = 1, RandomOptions options = {});

/// Density ∝ x^(a − 1) (1 − x)^(b − 1) on [0, 1]: σ(log G_a − log G_b) of two gamma draws, so that small a and b are no trouble.
Tensor beta(const Tensor& a, const Tensor& b, Generator* generator = nullptr);
Tensor beta(const Shape& shape, double a, double b, RandomOptions options = {});

/// Rows that sum to 1, density ∝ Π_k x_k^(α_k − 1): the softmax of log-gamma draws over the last dimension of concentration [.., k]. Throws
/// ShapeError for a rank of 0.
Tensor dirichlet(const Tensor& concentration, Generator* generator = nullptr);

/// Counts with P(k) = λᵏ e^(−λ) / k!, of the type of `rate` (or options.dtype): below λ = 10 by inversion, above by transformed rejection
/// (Hörmann 1993, PTRS).
Tensor poisson(const Tensor& rate, Generator* generator = nullptr);
Tensor poisson(const Shape& shape, double rate, RandomOptions options = {});

}  // namespace plumb
