// Flow matching: straight lines x_σ = (1 − σ) x₀ + σ e from data to noise, and velocities v = e − x₀ along them.
#pragma once
#include <functional>
#include <vector>

#include "models/diffusion/noise_schedule.h"

namespace plumb::diffusion {

/// v(x [B, ..], σ [B]) → dx/dσ, x's shape.
using Velocity = std::function<Tensor(const Tensor& x, const Tensor& sigma)>;

/// A grid of N shifted levels in increasing noise (Lv et al., DCM): σ_i = s((i + 1)/N), s(u) = S u/(1 + (S − 1) u), σ_(N−1) = 1; the level
/// before σ_i is σ_(i−1), and before the first s(1/steps), steps the number of times of the schedule that the grid is taken from.
class FlowSchedule {
 public:
  /// Throws ValueError unless 1 ≤ count ≤ steps and shift > 0.
  explicit FlowSchedule(double shift = 17, int64_t count = 50, int64_t steps = 1000);
  int64_t count() const { return count_; }
  double shift() const { return shift_; }
  /// Throw IndexError for i outside [0, N).
  double sigma(int64_t i) const;
  double previous(int64_t i) const;
  /// σ_i, or the level before, of each place, as a tensor of x's type and device.
  Tensor sigmas(const std::vector<int64_t>& places, const Tensor& like) const;
  Tensor previous(const std::vector<int64_t>& places, const Tensor& like) const;

 private:
  double shift_;
  int64_t count_, steps_;
};

/// (1 − σ) x₀ + σ e, σ [B].
Tensor flow_point(const Tensor& clean, const Tensor& noise, const Tensor& sigma);
/// x + (to − from) v: one Euler step, levels [B].
Tensor flow_step(const Tensor& x, const Tensor& velocity, const Tensor& from, const Tensor& to);
/// Euler steps along descending levels; the last usually 0. Nothing is recorded. Throws ValueError for fewer than two levels or levels that
/// do not descend within [0, 1].
Tensor flow_sample(const Velocity& velocity, const Tensor& x, const std::vector<double>& levels);
/// mean over the example of (v(x_σ, σ) − (e − x₀))², [B].
Tensor flow_losses(const Velocity& velocity, const Tensor& clean, const Tensor& noise, const Tensor& sigma);

}  // namespace plumb::diffusion
