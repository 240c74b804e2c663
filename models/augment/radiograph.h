// What may differ between two radiographs of the same thing, and does not change its grade: noise, a small turn, a small shift, exposure.
#pragma once
#include "models/augment/rand_augment.h"

namespace plumb::augment {

struct RadiographOptions {
  double noise_low = 0.05, noise_high = 0.05;  ///< σ of added normal noise, uniform between the two
  double noise_rate = 0.5;                     ///< how often there is noise
  double degrees = 10;                         ///< turned by up to so much, bilinear
  int64_t padding = 1;                         ///< moved by up to so many pixels: padded, and cut back
  double gamma_low = 0.5, gamma_high = 1.5;    ///< x^γ, γ uniform between the two
  double gamma_rate = 0.5;                     ///< how often
  /// Throws ValueError for negative amounts, ranges the wrong way round, or rates outside [0, 1].
  void check() const;
};

/// x^γ of each image with probability `rate`, γ uniform in [low, high), of values in [0, 1] (others are clipped first).
/// Throws ValueError unless 0 < low ≤ high and 0 ≤ rate ≤ 1.
Tensor random_gamma(const Tensor& images, double low, double high, double rate, Generator& generator);
/// x + σ ε of each image with probability `rate`, σ uniform in [low, high), clipped to [0, 1]. Throws ValueError unless 0 ≤ low ≤ high and
/// 0 ≤ rate ≤ 1.
Tensor random_noise(const Tensor& images, double low, double high, double rate, Generator& generator);

/// Noise, turn, shift, gamma: the augmentation of Nguyen et al. (TMI 2020), of images [B, C, H, W] in [0, 1].
View radiograph_view(const RadiographOptions& options = {});

}  // namespace plumb::augment
