// Improved consistency training (Song & Dhariwal, ICLR 2024): a consistency model without a teacher.
#pragma once
#include "models/diffusion/consistency_training.h"

namespace plumb::methods::ict {

/// A consistency model f(x, σ) leads every point of a trajectory of the probability-flow ODE to its start, f(x, σ_min) = x. Trained on
///   L = E λ(σ_i) d(f(x + σ_(i+1) z, σ_(i+1)), sg f(x + σ_i z, σ_i)),   one x, one z and one dropout mask for both.
/// What iCT chose: the student is its own target (an average of it would be a biased one, section 3.2), d = √(‖u−v‖² + c²) − c with
/// c = 0.00054 √d and one norm an example, N doubled in equal stages from s₀ + 1 to s₁ + 1, i by the mass of a lognormal law with
/// mean −1.1 and deviation 2 of ln σ, λ = 1/(σ_(i+1) − σ_i). `steps` is the length of training, K.
/// For diffusion::ConsistencyTraining. Throws ValueError where K does not hold all stages.
diffusion::ConsistencyRecipe improved(int64_t steps, int64_t s0 = 10, int64_t s1 = 1280);

/// Consistency training as first published (Song et al., ICML 2023), with the squared error in the place of LPIPS: an average of the
/// weights as target, μ(k) = exp(2 ln μ₀ / N(k)), the mean of squares, N growing from 2 to s₁ + 1, all intervals alike, λ = 1.
diffusion::ConsistencyRecipe original(int64_t steps, int64_t s1 = 150, double mu0 = 0.9);

struct SampleOptions {
  std::vector<double> levels = {};  ///< of further steps, descending below sigma_max: {0.821} is the paper's second step on CIFAR-10
  double sigma_min = 0.002, sigma_max = 80;
  double low = -1e30, high = 1e30;  ///< the range of the data, to which the result is kept
  Generator* generator = nullptr;   ///< default_generator() if null
};
/// x = f(σ_max z, σ_max), then x ← f(x + √(τ² − σ_min²) z', τ) for each further level τ. `shape` [n, ..]. Nothing is recorded.
/// Throws ValueError for levels that do not descend from σ_max, or lie below σ_min.
Tensor sample(const diffusion::Denoiser& model, const Shape& shape, const SampleOptions& options = {}, DType dtype = f32,
              Device device = {});

}  // namespace plumb::methods::ict
