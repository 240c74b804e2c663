// How close an image is to another: PSNR, SSIM, normalised error. Differentiable, so that they also serve as losses.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::metrics {

// Images [B, C, H, W] (or [H, W], one image of one channel); results are [B] (or a scalar), one number an image, in the images' type (f32
// for 16-bit ones). `range` is the difference between the largest and the smallest value a pixel may have: 1 or 255, or a volume's maximum.
// All throw ShapeError for images that differ in shape or have another rank, ValueError unless range > 0.

/// 10 log₁₀(range² / mean (a − b)²), in dB; +∞ for equal images.
Tensor psnr(const Tensor& a, const Tensor& b, double range = 1);
/// ‖a − b‖² / ‖b‖², b being the truth.
Tensor nmse(const Tensor& a, const Tensor& b);

struct SsimOptions {
  double range = 1;
  int64_t window = 7;  ///< odd
  /// Gaussian weights of this deviation (Wang et al. 2004 take 1.5 in a window of 11); 0: all weights equal, and variances divided by
  /// n − 1, as is usual for 7 × 7.
  double sigma = 0;
  double k1 = 0.01, k2 = 0.03;
};
/// Mean over windows that lie within the image, and over channels, of
///   (2 μ_a μ_b + c₁)(2 σ_ab + c₂) / ((μ_a² + μ_b² + c₁)(σ_a² + σ_b² + c₂)),   c_i = (k_i · range)²
/// (Wang, Bovik, Sheikh & Simoncelli 2004). Throws ShapeError for images smaller than the window, ValueError for an even window.
Tensor ssim(const Tensor& a, const Tensor& b, const SsimOptions& options = {});

}  // namespace plumb::metrics
