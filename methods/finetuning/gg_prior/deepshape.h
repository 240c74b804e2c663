// DeepShape (Wu, Xiong, Wen and Han, arXiv 2506.00486, versions up to 3): a trained network's weights are given another distribution, of
// smaller shape and scale, by moving each to the quantile of its rank. Their code is shorter then; layers without normalisation lose gain,
// so a short fine-tuning follows.
#pragma once
#include <vector>

#include "methods/common/generalized_gaussian.h"

namespace plumb::methods::gg_prior {

struct DeepshapeOptions {
  int bits = 13;              ///< b: the grid's step is 2^−b
  int64_t tail_count = 1000;  ///< m: grid values that occur so seldom are the tail
  double shape_factor = 0.8, scale_factor = 0.6;
  /// Throws ValueError naming what is out of range.
  void check() const;
};

struct DeepshapeReport {
  int64_t tail = 0;                   ///< K: weights up to K steps from the middle are moved
  int64_t middle = 0;                 ///< μ, in steps
  int64_t moved = 0;                  ///< M, the weights that are dealt out anew
  ShapeFit fit{};                     ///< of the weights without their tail
  double scale = 0;                   ///< a of that fit
  std::vector<double> probabilities;  ///< p_x of the grid values μ − K … μ + K
  std::vector<int64_t> counts;        ///< n_x = ⌊M p_x⌋
};

/// In place, over all parameters together:
///   k = round(w 2^b);   K the least positive grid value that occurs at most m times (if none does, max |k|)
///   of the weights with |w| ≤ K 2^−b: ν̂ and their deviation (fit_moments), a = deviation √(Γ(1/ν̂) / Γ(3/ν̂)), μ = trunc(mean · 2^b)
///   p_x ∝ exp(−(|x − μ| / (f_a a 2^b))^(f_ν ν̂)) on x = μ − K … μ + K,   n_x = ⌊M p_x⌋,   M the number of weights with |k − μ| ≤ K
///   those M weights in ascending order of k (equal ones in their own order): the first n_{μ−K} become μ − K, the next n_{μ−K+1} become
///   μ − K + 1, …; the M − Σ n_x largest and all others keep their k;   w ← k 2^−b
/// Throws ValueError for no weights or zeros alone, and as DeepshapeOptions::check.
DeepshapeReport deepshape(const std::vector<Tensor>& parameters, const DeepshapeOptions& options = {});

/// Without grid and tail: w ← (1 − t) w + t (middle + F⁻¹((rank + ½) / n)), F⁻¹ the target's quantiles, ranks ascending (of equal weights
/// the first is smaller). Keeps the order; t = 0 is the identity. Throws ValueError unless 0 ≤ t ≤ 1 and there is a weight.
Tensor deepshape_continuous(const Tensor& weights, const GeneralizedGaussian& target, double strength = 1, double middle = 0);
/// The same over all parameters together, in place.
void deepshape_continuous_(const std::vector<Tensor>& parameters, const GeneralizedGaussian& target, double strength = 1,
                           double middle = 0);

}  // namespace plumb::methods::gg_prior
