// The density that a denoiser implies, along the probability-flow ODE.
#pragma once
#include <vector>

#include "models/diffusion/precondition.h"

namespace plumb::diffusion {

struct LikelihoodOptions {
  int64_t probes = 1;  ///< random signs that the trace is estimated with at each level; 0: exact, one backward pass a number of an example
  double data_variance = 0;        ///< added to σ_max² in the normal distribution at the far end
  Generator* generator = nullptr;  ///< of the signs; default_generator() if null
};

/// log p(x) in nats of x [B, ..] at the grid's lowest level, [B] f64: Heun steps of dx/dσ = f = (x − D(x, σ))/σ up the grid to x_T, and
///   log p(x) = log N(x_T; 0, (σ_max² + data_variance) I) + ∫ tr(∂f/∂x) dσ        (Chen et al. 2018; Song et al. 2021)
/// with tr(∂f/∂x) = (d − tr(∂D/∂x))/σ, the trace of D's slope exact or E vᵀ ∂D/∂x v over random signs v (Hutchinson). Nothing is recorded
/// for backward. `sigmas` ascend from above 0. Throws ValueError for a grid that does not, or probes < 0.
Tensor log_likelihood(const Denoiser& denoiser, const Tensor& x, const std::vector<double>& sigmas, const LikelihoodOptions& options = {});

}  // namespace plumb::diffusion
