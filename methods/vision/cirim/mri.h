// Parallel magnetic resonance imaging: what a scanner measures of an image, the adjoint, the gradient of the likelihood, data consistency,
// and what measurements are made with: coil maps and sampling masks. Complex tensors have a last axis of 2 (ops/fft.h). Images are
// [B, H, W, 2], measurements (k-space) [B, C, H, W, 2] with C coils, zero frequency at place (0, 0).
#pragma once
#include <string>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods::cirim {

/// y_c = M F(S_c x): the image seen by each coil, transformed (forward unscaled, inverse 1/(HW)), where the mask samples.
class MriOperator {
 public:
  /// maps [B, C, H, W, 2] or [C, H, W, 2], normalised: Σ_c |S_c|² = 1 at every pixel (warning() says where it is not); mask [B, H, W] or
  /// [H, W], bool or 0 and 1. Throws ShapeError if the two do not fit, ValueError for a mask that samples nothing.
  MriOperator(const Tensor& maps, const Tensor& mask);

  /// F(S_c x) at every frequency; M F(S_c x) where the mask samples.
  Tensor spectrum(const Tensor& image) const;
  Tensor forward(const Tensor& image) const;
  /// Σ_c conj(S_c) F⁻¹(k_c), of all of k.
  Tensor combine(const Tensor& k) const;
  /// Σ_c conj(S_c) F⁻¹(M k_c), the zero-filled image: the adjoint of forward() times 1/(HW), ⟨forward(x), k⟩ = HW ⟨x, adjoint(k)⟩.
  /// Throws ShapeError for k-space of another shape, as do the functions below.
  Tensor adjoint(const Tensor& k) const;
  /// g(x) = 1/σ² Σ_c conj(S_c) F⁻¹(M (F(S_c x) − y_c)): the gradient of ½ ‖A x − y‖² / σ² with A in the unitary convention.
  Tensor likelihood_gradient(const Tensor& image, const Tensor& y, double sigma = 1) const;

  const Tensor& maps() const { return maps_; }  ///< [B or 1, C, H, W, 2]
  const Tensor& mask() const { return mask_; }  ///< [B or 1, 1, H, W, 1], of the maps' type
  /// "" if Σ_c |S_c|² is within 1e-3 of 1 everywhere, else a line that says how far it strays: then explicit data consistency is no longer
  /// a step along the likelihood's gradient, and images are shaded by it.
  std::string warning() const;

 private:
  void check_image(const Tensor& image) const;
  void check_k(const Tensor& k) const;
  Tensor maps_, mask_;
};

/// k − w M (k − y): sampled frequencies moved towards what was measured; w a number or a scalar tensor that is learned. With w = 1 they are
/// y.
Tensor soft_dc(const Tensor& k, const Tensor& y, const Tensor& mask, const Tensor& w);
/// M y + (1 − M) k.
Tensor hard_dc(const Tensor& k, const Tensor& y, const Tensor& mask);
/// What the released CIRIM code does behind a block: y − w M (k_in − y) − F(S x), with k_in what the block was given. As k_in = y in the
/// first cascade, the block must there put out minus what is missing of the image, although it starts at the zero-filled image.
Tensor released_dc(const Tensor& k_in, const Tensor& spectrum, const Tensor& y, const Tensor& mask, const Tensor& w);

enum class MaskKind : uint8_t { equispaced_columns, gaussian_columns, gaussian_points, poisson_points };
struct MaskOptions {
  MaskKind kind = MaskKind::gaussian_points;
  double acceleration = 4;  ///< ⌊HW/R⌋ points or ⌊W/R⌋ columns are drawn, before the centre is added
  double center = 0.02;  ///< half axes of the ellipse (half width of the band of columns) that is always sampled, as a share of the sides
  double fwhm = 0.7;     ///< of the Gaussian density, where the image spans [−1, 1]
};
/// A mask [H, W], f32 of 0 and 1, with the zero frequency in the middle, at (H/2, W/2): ifftshift it for MriOperator. Points and columns
/// are drawn without replacement by the density g(i) = exp(−i²/2s²), s = fwhm/2.3548 (√(g_i g_j) for points); Poisson points keep a
/// distance that grows from the centre outwards. Throws ValueError for an acceleration below 1 or one that leaves nothing.
Tensor sampling_mask(int64_t height, int64_t width, const MaskOptions& options, Generator& generator);

/// Sensitivities [coils, height, width, 2] of coils set around the image: Gaussian in magnitude, smooth in phase, normalised.
Tensor coil_maps(int64_t coils, int64_t height, int64_t width, Generator& generator);

}  // namespace plumb::methods::cirim
