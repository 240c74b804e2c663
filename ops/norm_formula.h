// The formulas behind the normalisations in plain operations: what create_graph differentiates. For operations only.
#pragma once
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::detail {

/// x̂ = (x − mean) · rstd, rstd = 1/√(mean((x − mean)²) + eps) over dims; without the mean if not centred.
struct Normalised {
  Tensor value, rstd;
};
Normalised normalised(const Tensor& x, const std::vector<int>& dims, bool centred, double eps);
/// The gradient of x from that of x̂:  dx = rstd (g − [centred] mean(g) − x̂ mean(g x̂)).
Tensor normalised_derivative(const Tensor& g, const Normalised& n, const std::vector<int>& dims, bool centred);

/// (Σ |x|^p)^(1/p) over dims (none: all), p ≥ 1 or ∞, with derivative 0 at a zero vector (to every order). Throws ValueError for p < 1.
Tensor vector_length(const char* op, const Tensor& x, double p, const std::vector<int>& dims, bool keepdim);

}  // namespace plumb::detail
