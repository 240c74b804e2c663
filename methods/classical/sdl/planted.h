// Data whose best subspaces for rebuilding and for predicting differ: what factorising first cannot see.
#pragma once
#include "methods/classical/sdl/sdl.h"

namespace plumb::methods::sdl {

struct PlantedOptions {
  int64_t features = 60, samples = 600, factors = 6;
  double noise = 0.5, signal = 0.8, slope = 3;
};
struct Planted {
  Tensor x, labels;  ///< [p, n], i64 [n]
  Tensor logit;      ///< [n]: of which the labels were drawn
  Tensor direction;  ///< v [p]
};
/// X = W₀ H₀ + noise ε + signal v gᵀ: W₀ non-negative atoms of length 1, H₀ ~ U(0, 6), v of length 1 and orthogonal to them, g standard
/// normal; y ~ Bernoulli(σ(slope vᵀ x − its mean)). Throws ValueError unless factors < features and samples ≥ 2.
Planted planted_data(const PlantedOptions& options, Generator& generator);

/// The columns that `index` names.
Tensor columns(const Tensor& x, const Tensor& index);

}  // namespace plumb::methods::sdl
