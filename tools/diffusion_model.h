// What `plumb train unet` and `sample` share: a run's settings, its network as a denoiser, and images drawn from it.
#pragma once
#include <string>
#include <vector>

#include "models/diffusion/guidance.h"
#include "models/diffusion/sampler.h"
#include "models/unet/unet.h"
#include "tools/progress_bar.h"
#include "tools/train/settings.h"

namespace plumb::tools {

/// How images are drawn.
struct ImageSampling {
  std::string sampler = "dpmpp_2m";
  int64_t steps = 16;
  double guidance = 1.5;
  double eta = 0, churn = 0;

  std::string to_json() const;
  static ImageSampling from_json(const std::string& json);
  /// Throws ConfigError naming the option that is out of range.
  void check() const;
};

/// Everything that config.json of a U-Net run holds.
struct DiffusionRun {
  std::vector<std::string> data;  ///< absolute paths, or "digits"
  std::string data_sha256;        ///< of the files' hashes
  unet::UnetConfig network;
  double sigma_data = 0.5, sigma_min = 0.002, sigma_max = 80;  ///< EDM's, for images in [−1, 1]
  double noise_mean = -1.2, noise_std = 1.2;                   ///< of ln σ in training
  double class_dropout = 0.1;                                  ///< share of training images shown without their class
  double validation = 0.05;                                    ///< share of the training part that is held back
  std::vector<int64_t> image;                                  ///< [C, H, W]
  std::vector<std::string> class_names;
  ImageSampling sampling;                                      ///< of the samples during training, and the default of `plumb sample`
  TrainingSettings training;

  DiffusionRun();
  std::string to_json() const;
  static DiffusionRun from_json(const std::string& json);
  /// Throws ConfigError naming the option that is out of range.
  void check() const;
};

/// A U-Net that is trained and used as EDM's denoiser.
class DiffusionModel {
 public:
  /// Weights drawn from the default generator.
  explicit DiffusionModel(const DiffusionRun& run);
  unet::Unet& network() { return network_; }

  /// The weighted error on images [B, C, H, W] in [0, 1] with labels [B], one number an image; noise and levels from `generator`.
  /// In training mode classes are dropped, and half of the time a self-conditioned network sees its own estimate.
  Tensor losses(const Tensor& images, const Tensor& labels, Generator& generator) const;
  /// One image for each label (−1: no class) → [n, C, H, W] in [0, 1]. Draws from `generator`; `batch` images at a time, whose
  /// steps are what `progress` counts.
  Tensor sample(const Tensor& labels, const ImageSampling& options, Generator& generator, int64_t batch = 100,
                const ProgressFunction& progress = {}) const;
  /// Of images in [−1, 1] of these classes [B] (−1: none). The model must outlive it.
  diffusion::Denoiser denoiser(const Tensor& labels) const;

 private:
  Tensor sample_batch(const Tensor& labels, const ImageSampling& options, Generator& generator,
                      const std::function<void(int64_t step)>& done) const;

  const DiffusionRun run_;
  unet::Unet network_;
  diffusion::EdmPrecondition precondition_;
};

/// The run's model with its trained weights, in evaluation mode.
DiffusionModel load_diffusion(const train::RunDirectory& directory, const DiffusionRun& run);

}  // namespace plumb::tools
