// Small handwritten digits as a generation problem: vectors of 64 numbers, a teacher for them, and how near samples come to them.
#pragma once
#include <functional>

#include "engine/core/generator.h"
#include "models/diffusion/precondition.h"
#include "models/diffusion/time_mlp.h"
#include "models/metrics/frechet.h"

namespace plumb::methods {

/// The 1,797 digits of engine/data as rows of 64 numbers, shifted and scaled alike so that over all pixels the mean is 0 and the standard
/// deviation 0.5. (The digits about their mean image have a total variance of 8.30: what a generator of that one image scores.)
class DigitVectors {
 public:
  explicit DigitVectors(Device device = cpu);

  Tensor rows;    ///< [1797, 64] f32
  Tensor labels;  ///< [1797] i64

  /// n rows drawn with replacement.
  Tensor batch(int64_t n, Generator& generator = default_generator()) const;
  /// The Fréchet distance between samples [n, 64] and all digits, in pixels of this scale; infinite for samples that are not finite.
  double frechet_distance(const Tensor& samples) const;
  /// Rows kept between the darkest and the brightest pixel.
  Tensor clipped(const Tensor& rows) const;
  /// As images [n, 1, 8, 8] with pixels in [0, 1].
  Tensor images(const Tensor& rows) const;

 private:
  double mean_ = 0, scale_ = 1;  // pixel = mean + scale · number
  metrics::FeatureStatistics statistics_;
};

struct DenoiserTraining {
  int64_t steps = 6000, batch = 128;
  double lr = 1e-3, ema = 0.999;
};

/// A denoiser of rows, TimeMlp under EdmPrecondition, trained with Adam on denoising_losses of EDM's weighting; σ half lognormal, half
/// uniform in Karras coordinates. The averaged weights. `progress` hears the share done.
diffusion::TimeMlp train_denoiser(const DigitVectors& digits, const DenoiserTraining& options, const std::function<void(double)>& progress);

/// The denoiser that such a network is. The network must outlive it.
diffusion::Denoiser denoiser(const diffusion::TimeMlp& network);

/// The levels of M-step sampling from σ_max = 80: M of a Karras grid of M + 1 points (its last, σ_min, is where the last step leads).
std::vector<double> few_step_levels(int64_t steps);

}  // namespace plumb::methods
