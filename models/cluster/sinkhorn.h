// Entropic optimal transport (Cuturi 2013), in logarithms.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::cluster {

struct SinkhornOptions {
  double epsilon = 0.05;     ///< strength of the entropy, in units of the cost; the smaller, the nearer to an assignment and the slower
  int64_t iterations = 200;  ///< at most; each makes row sums, then column sums right
  double tolerance = 0;      ///< stops when no row sum is off by more than this share of itself; 0: all iterations (a fixed graph)
};

/// The plan P [n, m] ≥ 0 that minimises ⟨P, C⟩ + ε Σ P (log P − 1) with row sums a [n] and column sums b [m] (undefined: 1/n and 1/m):
/// P = exp((f_i + g_j − C_ij) / ε) by alternating updates of f and g, which underflow for no ε. Column sums are exact, row sums as far as
/// the iterations got. Differentiable in all three, through the iterations; in cost's type. Throws ShapeError for sizes that do not fit,
/// ValueError unless ε > 0, iterations ≥ 1 and a and b are positive with equal sums.
Tensor sinkhorn(const Tensor& cost, const Tensor& a = {}, const Tensor& b = {}, const SinkhornOptions& options = {});

}  // namespace plumb::cluster
