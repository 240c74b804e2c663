// Colour images of 32 × 32 as a generation problem: what the longer form of a generative experiment trains U-Nets on.
#pragma once
#include <memory>
#include <string>

#include "methods/common/small_cnn.h"
#include "models/diffusion/time_unet.h"
#include "models/metrics/frechet.h"

namespace plumb::methods {

/// The family of U-Nets that diffusion and consistency models of CIFAR-10 are trained with (ADM, DDPM++): 128 channels, 1, 2, 2, 2 times as
/// many at 32, 16, 8 and 4 pixels, three blocks a level, attention at 16 and 8.
unet::UnetConfig image_network();

struct ImageProblemOptions {
  unet::UnetConfig network = image_network();
  bool real = true;             ///< CIFAR-10 of the data directory where it is there; else, or without it, rendered shapes
  int64_t most = 0;             ///< images at most; 0: all (of shapes: 10,000)
  int64_t oracle_steps = 4000;  ///< of training the classifier whose features are compared
  Device device = cpu;
};

/// A Problem (methods/common/generation_training.h) of images in [−1, 1], and how near samples come to them. Its distance is the Fréchet
/// distance between features of a small classifier trained on the images: an FID without Inception, comparable within one experiment alone.
class ImageProblem {
 public:
  using Network = diffusion::TimeUnet;
  /// Trains the classifier; draws from the default generator.
  explicit ImageProblem(const ImageProblemOptions& options = {});

  Tensor rows;         ///< [n, 3, 32, 32] f32
  Tensor labels;       ///< [n] i64
  std::string source;  ///< "CIFAR-10" or "rendered shapes"

  Network network(bool second_time = false) const;
  Tensor batch(int64_t n) const;
  Shape shape(int64_t n) const { return {n, 3, rows.size(2), rows.size(3)}; }
  /// Of samples kept to [−1, 1], as pictures are stored: the classifier knows no others. Infinite for samples that are not finite.
  double frechet_distance(const Tensor& samples) const;
  Tensor clipped(const Tensor& samples) const;
  /// In [0, 1], on the CPU.
  Tensor images(const Tensor& samples) const;
  /// The classifier's features [n, 64], and its probabilities [n, classes], of samples kept to [−1, 1].
  Tensor features(const Tensor& samples) const;
  Tensor probabilities(const Tensor& samples) const;

 private:
  Tensor in_parts(const Tensor& samples, bool probabilities) const;
  unet::UnetConfig config_;
  std::shared_ptr<const SmallCnn> oracle_;
  metrics::FeatureStatistics statistics_;
};

}  // namespace plumb::methods
