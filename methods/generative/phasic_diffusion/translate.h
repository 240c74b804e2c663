// Sampling: a source image translated into the target domain with its structure kept, and images of the source domain itself.
#pragma once
#include "methods/generative/phasic_diffusion/network.h"
#include "models/diffusion/low_pass.h"

namespace plumb::methods::phasic_diffusion {

struct TranslateOptions {
  int64_t start = 600;  ///< t₀: the source is noised to it
  int64_t steps = 25;   ///< DDIM steps from t₀ − 1 to the data
  double eta = 1;
  bool content = true;         ///< the source is the network's content, but in the last step
  bool guidance = true;        ///< low frequencies follow the source …
  int64_t guidance_end = 300;  ///< … after updates to times above this
  int64_t factor = 8;          ///< of the low-pass filter φ
  diffusion::LowPass filter = diffusion::LowPass::cubic;
  int64_t enhance = 1;  ///< M: the guiding image is denoised and noised again M − 1 times, which strengthens the style
  /// Throws ValueError naming what is out of range, for a schedule of `schedule_steps` times.
  void check(int64_t schedule_steps) const;
};

/// From x = q(a at t₀), for neighbours t > s of descending_times(t₀, steps): x₀ by ε_θ(x, t, a), clamped to [−1, 1]; x ← vp_step(x₀, ε).
/// Then, for s > guidance_end: z = q(a at s), z' = p_θ(z, s, a) by one ancestral step, x ← x − φ(x) + φ(z'). The last step has no content
/// and gives x₀. source [B, C, H, W] in [−1, 1] → the same. Nothing is recorded. Throws as TranslateOptions::check and low_pass.
Tensor translate(const PhasicUnet& model, const Tensor& source, const TranslateOptions& options,
                 Generator& generator = default_generator());

/// `shape` [B, C, H, W] new images of the domain that the model's base knows, by `steps` DDIM steps with eta = 1 from noise, in [−1, 1].
/// To sample the target domain without a source: generate with the source model, then translate.
Tensor generate(const PhasicUnet& model, const Shape& shape, int64_t steps, Generator& generator = default_generator());

}  // namespace plumb::methods::phasic_diffusion
