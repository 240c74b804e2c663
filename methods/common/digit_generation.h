// Small handwritten digits as a generation problem: vectors of 64 numbers, a teacher for them, and how near samples come to them.
#pragma once
#include <functional>

#include "engine/core/generator.h"
#include "methods/common/generation_training.h"
#include "models/diffusion/precondition.h"
#include "models/diffusion/time_mlp.h"
#include "models/metrics/frechet.h"

namespace plumb::methods {

/// The 1,797 digits of engine/data as rows of 64 numbers, shifted and scaled alike so that over all pixels the mean is 0 and the standard
/// deviation 0.5. (The digits about their mean image have a total variance of 8.30: what a generator of that one image scores.)
class DigitVectors {
 public:
  using Network = diffusion::TimeMlp;
  explicit DigitVectors(Device device = cpu);

  Tensor rows;    ///< [1797, 64] f32
  Tensor labels;  ///< [1797] i64

  /// A perceptron of 3 × 256 for them.
  Network network(bool second_time = false) const;
  Shape shape(int64_t n) const { return {n, rows.size(1)}; }
  /// n rows drawn with replacement.
  Tensor batch(int64_t n, Generator& generator = default_generator()) const;
  /// The Fréchet distance between samples [n, 64] and all digits, in pixels of this scale; infinite for samples that are not finite. For
  /// raw samples: most pixels of a digit lie on the border of the range, so that clipping takes half of their noise away and moves their
  /// mean.
  double frechet_distance(const Tensor& samples) const;
  /// Rows kept between the darkest and the brightest pixel.
  Tensor clipped(const Tensor& rows) const;
  /// As images [n, 1, 8, 8] with pixels in [0, 1].
  Tensor images(const Tensor& rows) const;

 private:
  double mean_ = 0, scale_ = 1;  // pixel = mean + scale · number
  metrics::FeatureStatistics statistics_;
};

/// A denoiser of rows, TimeMlp under EdmPrecondition, trained with Adam on denoising_losses of EDM's weighting; σ half lognormal, half
/// uniform in Karras coordinates. The averaged weights. `progress` hears the share done.
diffusion::TimeMlp train_denoiser(const DigitVectors& digits, const DenoiserTraining& options, const std::function<void(double)>& progress);

/// The denoiser that such a network is. The network must outlive it.
diffusion::Denoiser denoiser(const diffusion::TimeMlp& network);

struct ConsistencyModelTraining {
  int64_t steps = 4000, batch = 128;
  double lr = 1e-3, ema = 0.999;
  int64_t s0 = 10, s1 = 160;  ///< intervals at first and at last
};

/// A consistency model of rows, trained without a teacher as iCT says, TimeMlp under ConsistencyPrecondition, with Adam. The averaged
/// weights: a generator of one step, f(80 z, 80). `progress` hears the share done.
diffusion::TimeMlp train_consistency_model(const DigitVectors& digits, const ConsistencyModelTraining& options,
                                           const std::function<void(double)>& progress);
/// The f(x, σ) that such a network is. The network must outlive it.
diffusion::Denoiser consistency_model(const diffusion::TimeMlp& network);

/// The levels of M-step sampling from σ_max = 80: M of a Karras grid of M + 1 points (its last, σ_min, is where the last step leads).
std::vector<double> few_step_levels(int64_t steps);

}  // namespace plumb::methods
