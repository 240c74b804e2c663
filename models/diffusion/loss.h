// What a denoiser is trained on: the weighted squared error of the clean data it expects.
#pragma once
#include "models/diffusion/precondition.h"

namespace plumb::diffusion {

/// λ(σ) of the error ‖D(x, σ) − x₀‖². The names are those of the plain losses that they equal: of the noise 1/σ², of the data 1, of
/// v (σ²+1)/σ², of EDM's network (σ²+σ_d²)/(σ σ_d)²; and of the noise with the signal-to-noise ratio 1/σ² cut off at γ (Hang et al. 2023).
enum class Weighting : uint8_t { eps, x0, v, edm, min_snr };

struct LossOptions {
  Weighting weighting = Weighting::edm;
  double sigma_data = 0.5;  ///< of edm
  double gamma = 5;         ///< of min_snr
};

/// Throws ValueError unless σ > 0.
double loss_weight(double sigma, const LossOptions& options = {});

/// λ(σ_b) · mean over the example of (D(x₀ + σ z, σ) − x₀)²: one number an example, [B]. clean and noise [B, ..], σ [B].
Tensor denoising_losses(const Denoiser& denoiser, const Tensor& clean, const Tensor& noise, const Tensor& sigma,
                        const LossOptions& options = {});

/// √(‖u − v‖² + c²) − c with one norm an example: [B] (Song & Dhariwal 2024); its gradient at u = v is 0. Throws ValueError unless c > 0,
/// ShapeError unless u and v have one shape.
Tensor pseudo_huber_distance(const Tensor& u, const Tensor& v, double c);

}  // namespace plumb::diffusion
