// Low frequencies of images, and putting those of one image into another: guidance by structure (Choi et al., ILVR, ICCV 2021).
#pragma once
#include "engine/core/tensor.h"

namespace plumb::diffusion {

/// box: the mean of each factor × factor block, repeated: idempotent. cubic: reduced and enlarged again along cubic curves (a = −½), the
/// reduction's stretched by the factor so that nothing aliases, weights normalised at the border.
enum class LowPass : uint8_t { box, cubic };

/// φ(x), x [.., H, W] reduced by `factor` and enlarged to its size again. Throws ValueError unless factor ≥ 1 divides both sides.
Tensor low_pass(const Tensor& x, int64_t factor, LowPass filter = LowPass::box);
/// x − φ(x) + φ(reference).
Tensor with_low_frequencies(const Tensor& x, const Tensor& reference, int64_t factor, LowPass filter = LowPass::box);

}  // namespace plumb::diffusion
