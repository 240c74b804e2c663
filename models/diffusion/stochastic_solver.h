// Steps of the reverse SDE for batches whose examples stand at noise levels of their own: the ODE's way with fresh noise put back.
#pragma once
#include <functional>
#include <vector>

#include "models/diffusion/precondition.h"

namespace plumb::diffusion {

/// x_s = D + keep (x − D) + noise n: what a step from level σ to s keeps of what is not D, and how much normal noise n it adds.
struct StepShares {
  double keep, noise;
};

/// How much noise a step puts back.
class NoiseRule {
 public:
  /// DDIM's η: noise = η s √(1 − s²/σ²), keep = √(s² − noise²)/σ. 0 is the ODE (Euler), 1 the ancestral sampler of DDPM. Throws ValueError
  /// for η outside [0, 1].
  static NoiseRule eta(double eta);
  /// ER-SDE (Cui et al. 2023): keep = φ(s)/φ(σ), noise = √max(s² − σ² keep², 0). φ(x) = x is the ODE, x² the full SDE.
  static NoiseRule scaled(std::function<double(double)> phi);
  /// φ(x) = x (e^(x^0.3) + 10), mild noise: "ER-SDE 5".
  static NoiseRule er_sde5();

  /// Throws ValueError unless 0 ≤ to < from.
  StepShares at(double from, double to) const;
  /// Whether it is η = 0: no noise is ever drawn.
  bool deterministic() const { return !phi_ && eta_ == 0; }

 private:
  double eta_ = 0;
  std::function<double(double)> phi_;
};

/// One step from levels `from` [B] to levels `to` [B], x [B, ..]; n is drawn from `generator`. With η = 0 it is ode_step(Solver::euler), to
/// the bit, and draws nothing. Recorded for backward as any operation. Throws as NoiseRule::at, ShapeError unless levels are one number an
/// example.
Tensor sde_step(const NoiseRule& rule, const Denoiser& denoiser, const Tensor& x, const Tensor& from, const Tensor& to,
                Generator& generator = default_generator());

/// A step along each pair of neighbours of `path`, levels [B] each, descending, with new noise in every one. Nothing is recorded. Throws
/// ValueError for a path of fewer than two levels.
Tensor solve_path(const NoiseRule& rule, const Denoiser& denoiser, const Tensor& x, const std::vector<Tensor>& path,
                  Generator& generator = default_generator());

/// The same step in the VP scale from times `from` to `to`, given estimates of the clean data and of the noise at z_t (each [B, ..]):
///   z_m = √ᾱ_m (z₀ + keep σ_t ε + noise n),     for η: √ᾱ_m z₀ + √(1 − ᾱ_m − s²) ε + s n,  s = η √((1−ᾱ_m)/(1−ᾱ_t)) √(1 − ᾱ_t/ᾱ_m)
/// `to` may be −1: the data. `noise` n may be undefined where the rule is deterministic. Throws ValueError unless every to < from, or if
/// noise is missing; ShapeError for another number of times.
Tensor vp_step(const NoiseRule& rule, const VpSchedule& schedule, const Tensor& clean, const Tensor& eps, const std::vector<int64_t>& from,
               const std::vector<int64_t>& to, const Tensor& noise = {});

}  // namespace plumb::diffusion
