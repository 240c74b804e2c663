// Samplers: from noise to data along a grid of noise levels, given a denoiser of x = x₀ + σ z.
#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "models/diffusion/precondition.h"

namespace plumb::diffusion {

/// euler: first order in the ODE dx/dσ = (x − D)/σ; with eta = 0 it is DDIM (Song et al. 2021).
/// ddim: the same with noise of share eta put back at every step; ancestral is ddim with eta = 1, the DDPM sampler.
/// heun: second order, two calls a step (Karras et al. 2022, algorithm 2), with `churn` also stochastic.
/// dpmpp_2m: second order, one call a step, from the last two estimates (Lu et al. 2022, DPM-Solver++(2M)).
/// consistency: x ← D(x₀ + √(σ² − σ_min²) z, σ), for models that jump to the data in one call (Song et al. 2023).
enum class Sampler : uint8_t { euler, ddim, ancestral, heun, dpmpp_2m, consistency };

/// "euler", "ddim", "ancestral", "heun", "dpmpp_2m", "consistency". Throws ValueError listing them for another name.
Sampler sampler_from_name(std::string_view name);
std::string_view name(Sampler sampler);

struct SamplerOptions {
  Sampler sampler = Sampler::heun;
  double eta = 0;            ///< ddim: 0 none to 1 the ancestral share of noise
  double churn = 0;          ///< heun and euler: S_churn; the noise added a step, over the number of steps
  double churn_min = 0, churn_max = 1e30;  ///< applied for σ in this range
  double churn_noise = 1;    ///< S_noise, the standard deviation of what is added
  double sigma_min = 0.002;  ///< consistency: the level at which the model is the identity
  Generator* generator = nullptr;                                        ///< of the noise that is added; default_generator() if null
  std::function<void(int64_t step, const Tensor& estimate)> on_step;     ///< after every step: its number and the newest D(x, σ)
};

/// x [B, ..] at noise level sigmas[0] (σ·z plus data, or simply σ·z) → data at the last level. sigmas descend, at least two of them
/// (consistency: the levels of its calls, at least one, perhaps with a 0 at the end); the last is usually 0. Nothing is recorded for
/// backward. Throws ValueError for a grid that does not descend or options outside their range.
Tensor sample(const Denoiser& denoiser, const Tensor& x, const std::vector<double>& sigmas, const SamplerOptions& options = {});

/// One step from level σ to s of `ddim`: with up² = eta² s² (σ² − s²)/σ² and down = √(s² − up²), D + (x − D) down/σ + up z.
struct EtaStep {
  double up, down;
};
/// Throws ValueError unless 0 ≤ s < σ and 0 ≤ eta ≤ 1.
EtaStep eta_step(double sigma, double next, double eta);

}  // namespace plumb::diffusion
