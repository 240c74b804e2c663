// Diffusion on the integer times of a variance-preserving schedule: which times, noising, and ancestral steps. (vp_step in
// stochastic_solver.h is DDIM.)
#pragma once
#include <vector>

#include "models/diffusion/precondition.h"

namespace plumb::diffusion {

/// The `steps` + 1 integers of linspace(−1, start − 1, steps + 1) from the last down: times t_0 = start − 1 > … > −1 that a sampler goes
/// through, −1 being the data. Throws ValueError unless 1 ≤ steps ≤ start.
std::vector<int64_t> descending_times(int64_t start, int64_t steps);

/// A draw from q(x_{t−1} | x_t, x₀) (Ho et al. 2020): mean (√ᾱ_{t−1} β_t x₀ + √(1−β_t) (1 − ᾱ_{t−1}) x_t)/(1 − ᾱ_t), variance
/// posterior_variance(t), which is 0 at t = 0.
Tensor posterior_sample(const VpSchedule& schedule, const Tensor& x, const Tensor& clean, int64_t t,
                        Generator& generator = default_generator());

/// √ᾱ_t x₀ + √(1−ᾱ_t) z with fresh z, one time for the whole batch.
Tensor noised(const VpSchedule& schedule, const Tensor& clean, int64_t t, Generator& generator = default_generator());

}  // namespace plumb::diffusion
