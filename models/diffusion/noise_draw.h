// Drawing the noise levels and the places on a grid that a training step works on.
#pragma once
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::diffusion {

/// n places i, each with probability weights[i] / Σ weights. Throws ValueError for no weights, negative ones, or a sum of 0.
std::vector<int64_t> draw_places(const std::vector<double>& weights, int64_t n, Generator& generator = default_generator());

struct HighNoiseOptions {
  double mean = -1.2, std = 1.2;  ///< of ln σ in the first half
  double depth = 0.7;             ///< how far down from σ_max the second half reaches, in (0, 1]
  double sigma_min = 0.002, sigma_max = 80, rho = 7;
};

/// σ uniform in Karras coordinates, (σ_max^(1/ρ) + depth · u (σ_min^(1/ρ) − σ_max^(1/ρ)))^ρ with u uniform in [0, 1): [n], f32.
Tensor karras_uniform_sigmas(int64_t n, const HighNoiseOptions& options = {}, Generator& generator = default_generator());

/// The first ⌈n/2⌉ lognormal as EDM's, the others karras_uniform_sigmas: high noise, which EDM's law all but leaves out and few-step
/// generation begins with, gets half of the batch (Kim et al. 2024). Throws ValueError for options out of range.
Tensor lognormal_and_high_sigmas(int64_t n, const HighNoiseOptions& options = {}, Generator& generator = default_generator());

}  // namespace plumb::diffusion
