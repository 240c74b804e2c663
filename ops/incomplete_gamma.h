// The regularised incomplete gamma functions.
#pragma once
#include "engine/core/tensor.h"

namespace plumb {

/// P(a, x) = 1/Γ(a) ∫₀ˣ t^(a − 1) e^(−t) dt for a > 0, x ≥ 0: the distribution function of the gamma distribution. Element by element; a
/// and x broadcast; computed in f64, to a few ε relative. NaN for negative numbers and for a = x = 0; P(0, x) = 1. Differentiable in both,
/// three times in a. Throws DTypeError unless both are floating.
Tensor igamma(const Tensor& a, const Tensor& x);
/// Q(a, x) = 1 − P(a, x), without cancellation where x is large; where a is near 0 and x below 1 it has the absolute precision of P.
Tensor igammac(const Tensor& a, const Tensor& x);

}  // namespace plumb
