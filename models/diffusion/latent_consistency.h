// Latent consistency models (Luo et al. 2023): consistency distillation on a grid of times of a variance-preserving schedule, with the
// teacher's guidance inside. With LcmPrecondition such a model is a denoiser like any other: pairs, solvers, losses and samplers are the
// kit's.
//
//   PairSampler pairs(lcm_pairs(schedule, 50));    Denoiser student = …LcmPrecondition…, teacher = guided_denoiser(…);
//   NoisePair pair = distilled(pairs.draw(k, clean), teacher, NoiseRule::eta(0));            DDIM; with noise: SCott
//   Tensor loss = mean(consistency_losses(pair, student, average, ConsistencyMetric::elementwise_huber, 0.001));
#pragma once
#include <vector>

#include "models/diffusion/consistency.h"

namespace plumb::diffusion {

/// c_skip(t) = σ_d²/((s t)² + σ_d²), c_out(t) = s t/√((s t)² + σ_d²) with time scale s: 1 and 0 at t = 0.
struct LcmBoundary {
  double sigma_data = 0.5, time_scale = 10;
  struct Shares {
    double skip, out;
  };
  Shares at(double t) const;
};

/// f(z, t) = c_skip(t) z + c_out(t) z₀ in the VP scale, z₀ what `prediction` = network(z, t) says of the clean data: z, prediction [B, ..],
/// t i64 [B]. z itself, bit for bit, at t = 0. Throws ShapeError unless t is one time an example, IndexError for a time that the schedule
/// lacks.
Tensor latent_consistency(const VpSchedule& schedule, Prediction kind, const Tensor& z, const Tensor& prediction, const Tensor& t,
                          LcmBoundary boundary = {});

/// The same model as a denoiser of x = z/√ᾱ at σ = √((1−ᾱ)/ᾱ): the network sees z and t. Times are whole: a σ is read as the nearest t.
class LcmPrecondition : public Precondition {
 public:
  LcmPrecondition(VpSchedule schedule, Prediction kind, LcmBoundary boundary = {})
      : schedule_(std::move(schedule)), kind_(kind), boundary_(boundary) {}
  Scalings at(double sigma) const override;

 private:
  VpSchedule schedule_;
  Prediction kind_;
  LcmBoundary boundary_;
};

// -- times -----------------------------------------------------------------------------------------------

/// t_i = i ⌊T/count⌋ − 1 for i = 1 … count, ascending: 19, 39, …, 999 for 50 of 1,000. Throws ValueError unless 1 ≤ count ≤ T.
std::vector<int64_t> lcm_times(int64_t steps, int64_t count);
/// The solver's grid as ascending noise levels: σ at time 0, then at lcm_times.
std::vector<double> lcm_levels(const VpSchedule& schedule, int64_t count = 50);
/// Pairs for distillation on that grid: `stride` intervals apart, all alike, weight 1.
PairOptions lcm_pairs(const VpSchedule& schedule, int64_t count = 50, int64_t stride = 1);
/// The times of `calls` sampling steps, descending: every ⌊count/calls⌋-th of lcm_times from the top (999, 759, 519, 279 for 4 of 50).
/// Throws ValueError unless 1 ≤ calls ≤ count.
std::vector<int64_t> lcm_sampling_times(int64_t calls, int64_t count = 50, int64_t steps = 1000);

/// Multistep sampling from normal z [B, ..] in the VP scale: z ← √ᾱ f(z) + √(1−ᾱ) z' at each further time, and f(z) at the end. `model`
/// is a denoiser (LcmPrecondition). Nothing is recorded. Throws as lcm_sampling_times.
Tensor lcm_sample(const Denoiser& model, const Tensor& z, const VpSchedule& schedule, int64_t calls, int64_t count = 50,
                  Generator& generator = default_generator());

// -- guidance --------------------------------------------------------------------------------------------

/// (1 + w) c − w u with a weight for each example, w [B]: guidance as LCM counts it, w = 0 the condition alone. (`guided` counts from 1.)
Tensor guided_beyond(const Tensor& conditional, const Tensor& unconditional, const Tensor& w);
/// A teacher that is guided so: the same for its denoisers, w [B] for batches of B.
Denoiser guided_denoiser(Denoiser conditional, Denoiser unconditional, const Tensor& w);
/// [sin(1000 w q_i) | cos(1000 w q_i)], q_i = 10000^(−i/(width/2 − 1)), i = 0 … width/2 − 1: how a student is told w [B] → [B, width].
/// Throws ValueError unless the width is even and at least 4.
Tensor guidance_embedding(const Tensor& w, int64_t width = 256);

}  // namespace plumb::diffusion
