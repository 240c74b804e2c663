// From a network to a denoiser: D(x, σ) = c_skip(σ) x + c_out(σ) F(c_in(σ) x, c_noise(σ)) (Karras et al. 2022, eq. 7), for every usual
// meaning of the network's output. All of the kit speaks of denoisers of x = x₀ + σ z; how a network was trained is said here alone.
#pragma once
#include <functional>

#include "engine/core/tensor.h"
#include "models/diffusion/noise_schedule.h"

namespace plumb::diffusion {

/// F(scaled x [B, ..], c_noise [B]) → [B, ..]
using Network = std::function<Tensor(const Tensor& x, const Tensor& noise)>;
/// D(x [B, ..], σ [B]) → the expected clean data [B, ..]
using Denoiser = std::function<Tensor(const Tensor& x, const Tensor& sigma)>;

struct Scalings {
  double skip, out, in, noise;
};

/// How the output of a network is read, and what it is shown.
class Precondition {
 public:
  virtual ~Precondition() = default;
  /// Throws ValueError for a σ outside the range on which it is defined.
  virtual Scalings at(double sigma) const = 0;

  /// D(x, σ) for a network. Scalings are computed in f64 and rounded to x's type. Throws ShapeError unless σ is [B].
  Tensor denoise(const Network& network, const Tensor& x, const Tensor& sigma) const;
  /// What the network should say: (x₀ − c_skip x) / c_out. c_out must not be 0.
  Tensor network_target(const Tensor& clean, const Tensor& x, const Tensor& sigma) const;
};

/// EDM: c_skip = σ_d²/(σ²+σ_d²), c_out = σ σ_d/√(σ²+σ_d²), c_in = 1/√(σ²+σ_d²), c_noise = noise_scale · ¼ ln σ.
class EdmPrecondition : public Precondition {
 public:
  explicit EdmPrecondition(double sigma_data = 0.5, double noise_scale = 1);
  Scalings at(double sigma) const override;

 private:
  double sigma_data_, noise_scale_;
};

/// Consistency models: D(x, σ_min) = x exactly. c_skip = σ_d²/((σ−σ_min)²+σ_d²), c_out = σ_d (σ−σ_min)/√(σ²+σ_d²) (Song et al. 2023).
class ConsistencyPrecondition : public Precondition {
 public:
  explicit ConsistencyPrecondition(double sigma_data = 0.5, double sigma_min = 0.002, double noise_scale = 1);
  Scalings at(double sigma) const override;

 private:
  double sigma_data_, sigma_min_, noise_scale_;
};

/// What a network trained on a VP schedule predicts: the noise z, the clean data x₀, or v = √ᾱ z − √(1−ᾱ) x₀ (Salimans & Ho 2022).
enum class Prediction : uint8_t { eps, x0, v };

/// Such a network sees √ᾱ x and the time t with σ_t = σ. With ᾱ = 1/(1+σ²):  eps: 1, −σ;  x0: 0, 1;  v: ᾱ, −√(1−ᾱ)  as (c_skip, c_out).
class VpPrecondition : public Precondition {
 public:
  VpPrecondition(VpSchedule schedule, Prediction prediction) : schedule_(std::move(schedule)), prediction_(prediction) {}
  Scalings at(double sigma) const override;

 private:
  VpSchedule schedule_;
  Prediction prediction_;
};

/// v without a schedule, c_noise = ¼ ln σ, defined down to σ = 0, where D is the identity (Stable Video Diffusion).
class ContinuousVPrecondition : public Precondition {
 public:
  Scalings at(double sigma) const override;
};

/// [n] → [n, 1, …, 1] with x's rank: to multiply examples by numbers of their own. Throws ShapeError unless it is one number an example.
Tensor per_example(const Tensor& numbers, const Tensor& x);

// -- the VP scale ---------------------------------------------------------------------------------------

/// √ᾱ x₀ + √(1−ᾱ) z, ᾱ [B].
Tensor add_noise(const Tensor& clean, const Tensor& noise, const Tensor& alpha_bar);
/// √ᾱ z − √(1−ᾱ) x₀
Tensor velocity(const Tensor& clean, const Tensor& noise, const Tensor& alpha_bar);
/// x₀ from a noisy x and a prediction of the given kind.
Tensor predicted_clean(Prediction kind, const Tensor& x, const Tensor& prediction, const Tensor& alpha_bar);

}  // namespace plumb::diffusion
