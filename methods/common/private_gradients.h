// Gradients that tell little of any one example: clipped one by one, with normal noise on their sum.
#pragma once
#include <vector>

#include "engine/core/generator.h"
#include "models/optim/objectives.h"

namespace plumb::methods {

/// (Σ_i g_i min(1, C / ‖g_i‖) + σ C N(0, I)) / B for the gradients g_i of B examples, given as a tensor [B, ..] for each parameter (as
/// per_sample_grad gives them), ‖g_i‖ over all parameters together (Abadi et al. 2016). One list of the parameters' shapes. Throws
/// ShapeError unless all have B ≥ 1 rows, ValueError unless clip > 0 and the noise multiplier σ ≥ 0.
optim::GradientList private_gradients(const std::vector<Tensor>& per_sample, double clip, double noise_multiplier,
                                      Generator& generator = default_generator());

}  // namespace plumb::methods
