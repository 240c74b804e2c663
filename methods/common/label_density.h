// Regression with targets of very different frequency: the density of targets, smoothed, as weights of examples (LDS; Yang et al., ICML
// 2021).
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::methods {

/// How a bin's number of examples becomes a weight.
enum class DensityWeights : uint8_t {
  none,         ///< 1
  inverse,      ///< 1 / clip(n, 5, 1000)
  sqrt_inverse  ///< 1 / √n
};

struct LdsOptions {
  int64_t size = 5;  ///< of the kernel, odd
  double sigma = 2;
  /// The kernel of the official code: a unit impulse of `size` places smoothed with reflecting ends, which is flatter; else exp(−j²/2σ²).
  bool official = false;
};
/// The kernel, its maximum 1. Throws ValueError for a size that is even or below 1, or sigma ≤ 0.
std::vector<double> lds_kernel(const LdsOptions& options);
/// Values convolved with a symmetric kernel, zeros outside.
std::vector<double> convolve(const std::vector<double>& values, const std::vector<double>& kernel);

/// The histogram of training targets in bins of equal width.
class LabelDensity {
 public:
  /// Bins [low + k width, low + (k + 1) width) from the lowest target's on, low = width ⌊min / width⌋. targets floating [n]. Throws
  /// ValueError for no targets, one that is not finite, or a width that is not positive; ShapeError for another rank.
  explicit LabelDensity(const Tensor& targets, double width = 1);
  int64_t bins() const { return static_cast<int64_t>(counts_.size()); }
  const std::vector<int64_t>& counts() const { return counts_; }
  /// The bin of each target, i64 [n]; outside the range the nearest.
  Tensor bins_of(const Tensor& targets) const;
  /// A weight for each bin before scaling, with `lds` from the kernel's sum over the clipped counts (inverse) or their roots
  /// (sqrt_inverse). A bin whose (smoothed) number is 0 has weight 0: it holds no training example.
  std::vector<double> bin_weights(DensityWeights kind, const std::optional<LdsOptions>& lds = {}) const;
  /// f32 [n], scaled to mean 1 over the training targets.
  Tensor weights(const Tensor& targets, DensityWeights kind, const std::optional<LdsOptions>& lds = {}) const;

 private:
  double low_, width_;
  std::vector<int64_t> counts_;
};

/// 1/n Σ w_i |prediction_i − target_i|, all [n]; undefined weights: all 1. Throws ShapeError for sizes that differ,
/// ValueError for a target that is NaN.
Tensor weighted_l1(const Tensor& predictions, const Tensor& targets, const Tensor& weights = {});

}  // namespace plumb::methods
