// Latents on the scale that diffusion and consistency models expect: mean 0 and one standard deviation for all, and back.
#pragma once
#include "engine/core/tensor.h"
#include "engine/io/state_dict.h"

namespace plumb::diffusion {

struct StandardizerOptions {
  double deviation = 0.5;    ///< of what comes out
  bool each_number = false;  ///< statistics of every number of a latent by itself; else of every channel
};

/// apply(x) = deviation (x − mean)/std and its inverse, with the mean and standard deviation of each channel (dimension 1) or each number
/// over a set of latents [n, C, ..].
class LatentStandardizer {
 public:
  /// Throws ShapeError unless latents are [n, C, ..] with n ≥ 2, ValueError for a channel that does not vary.
  static LatentStandardizer fit(const Tensor& latents, const StandardizerOptions& options = {});
  /// With what state() gave.
  static LatentStandardizer from_state(const StateDict& state);
  StateDict state() const;

  Tensor apply(const Tensor& latents) const;
  Tensor invert(const Tensor& standardized) const;

 private:
  Tensor mean_, scale_;  // [1, C, 1 ..] or [1, C, ..]: apply(x) = (x − mean) · scale
};

/// E (x − μ)⁴ / σ⁴ over all numbers of x, in f64: 3 for a normal distribution, large where a few numbers are far out. Throws ValueError for
/// numbers that do not vary.
double kurtosis(const Tensor& x);

}  // namespace plumb::diffusion
