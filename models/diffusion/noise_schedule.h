// How much noise there is when: grids of noise levels σ, and the discrete variance-preserving schedules ᾱ_t of DDPM.
//
// Two scales of one thing: variance exploding, x = x₀ + σ z, and variance preserving, x' = √ᾱ x₀ + √(1−ᾱ) z = √ᾱ x, σ = √((1−ᾱ)/ᾱ).
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::diffusion {

enum class GridOrder : uint8_t { descending, ascending };

/// `count` noise levels between σ_max and σ_min, evenly spaced in σ^(1/ρ) (Karras et al. 2022, eq. 5); both ends exact. Throws ValueError
/// unless count ≥ 2, 0 < σ_min < σ_max and ρ > 0.
std::vector<double> karras_sigmas(int64_t count, double sigma_min = 0.002, double sigma_max = 80, double rho = 7,
                                  GridOrder order = GridOrder::descending);
/// The same with a last level of 0 (descending): the grid of samplers that end at the data.
std::vector<double> karras_sigmas_to_zero(int64_t count, double sigma_min = 0.002, double sigma_max = 80, double rho = 7);

/// β_1 … β_T of variance-preserving diffusion, and what follows from them: ᾱ_t = Π_{s ≤ t} (1 − β_s).
class VpSchedule {
 public:
  /// Throws ValueError unless there is a β and all lie in (0, 1).
  explicit VpSchedule(std::vector<double> betas);
  /// β evenly spaced (Ho et al. 2020).
  static VpSchedule linear(int64_t steps = 1000, double first = 1e-4, double last = 0.02);
  /// √β evenly spaced (latent diffusion).
  static VpSchedule scaled_linear(int64_t steps = 1000, double first = 0.00085, double last = 0.012);
  /// ᾱ(t) = cos²((t/T + s)/(1 + s) · π/2) up to a factor, β at most `max_beta` (Nichol & Dhariwal 2021).
  static VpSchedule cosine(int64_t steps = 1000, double offset = 0.008, double max_beta = 0.999);

  int64_t steps() const { return static_cast<int64_t>(betas_.size()); }
  double beta(int64_t t) const { return betas_[checked(t)]; }
  /// ᾱ_t, t from 0 to steps − 1; −1 stands for no noise: 1.
  double alpha_bar(int64_t t) const { return t == -1 ? 1 : alpha_bars_[checked(t)]; }
  /// √((1 − ᾱ_t)/ᾱ_t)
  double sigma(int64_t t) const;
  /// The variance of q(x_{t−1} | x_t, x_0): β_t (1 − ᾱ_{t−1}) / (1 − ᾱ_t).
  double posterior_variance(int64_t t) const;
  /// The real t with this σ: log σ interpolated linearly, kept in [0, steps − 1].
  double time_of(double sigma) const;
  /// Descending levels of `count` times spread over all steps as DDIM's (the last step first), and 0.
  std::vector<double> sigmas(int64_t count) const;
  /// ᾱ_t for t i64 [n], as f32 [n].
  Tensor alpha_bar(const Tensor& t) const;

 private:
  size_t checked(int64_t t) const;
  std::vector<double> betas_, alpha_bars_;
};

/// Flow matching: x_s = (1 − s) x₀ + s z with levels s(u) = S u / (1 + (S − 1) u), u = k/K for k = K … 1 and 0: `shift` S > 1 spends more
/// steps on noise (Esser et al. 2024). Throws ValueError unless count ≥ 1 and shift > 0.
std::vector<double> flow_levels(int64_t count, double shift = 1);
double shifted_level(double u, double shift);

// -- drawing a noise level for every example of a batch ------------------------------------------------

/// σ = e^(mean + std·n), n standard normal: [n], f32 (EDM: −1.2 and 1.2).
Tensor lognormal_sigmas(int64_t n, double mean = -1.2, double std = 1.2, Generator& generator = default_generator());
/// The mass of that distribution between neighbours of an ascending grid, normalised: one number an interval (iCT). Throws ValueError for a
/// grid that does not ascend.
std::vector<double> lognormal_bin_probabilities(const std::vector<double>& ascending_sigmas, double mean = -1.1, double std = 2.0);

}  // namespace plumb::diffusion
