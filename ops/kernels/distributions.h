// Kernel slots of draws by rejection: f64 in, f64 out, row-major; every number has a counter of its own.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"
#include "ops/kernels/random.h"

namespace plumb::kernel {

/// out[i] ← log G, G gamma with concentration[i] and rate 1. `bad` ← the first place whose concentration is not positive and finite, else
/// −1.
inline constinit Kernel<void(RandomPlace place, const Tensor& concentration, Tensor& out, int64_t& bad)> log_gamma_draw{"log_gamma_draw"};
/// out[i] ← a Poisson count with rate[i]. `bad` ← the first place whose rate is negative or not finite, else −1.
inline constinit Kernel<void(RandomPlace place, const Tensor& rate, Tensor& out, int64_t& bad)> poisson_draw{"poisson_draw"};

}  // namespace plumb::kernel
