// `plumb sample` for runs of `train unet`, `consistency`, `vae` and `gan`: pictures, and how good they are.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "engine/core/tensor.h"
#include "models/train/run_directory.h"
#include "tools/command_line.h"

namespace plumb::tools {

struct ImageSampleOptions {
  std::optional<int64_t> label;  ///< class; −1 none; not given: every class in turn
  int64_t count = 64;
  std::optional<int64_t> steps;
  std::vector<double> levels;  ///< few-step generators: noise levels of the steps
  std::optional<double> guidance, eta, churn, gamma;
  std::optional<std::string> sampler;
  double truncation = 1;     ///< of a style-based GAN
  bool reconstruct = false;  ///< an autoencoder: test images and their reconstructions instead of samples
  std::string out = "samples.png";
  std::string judge;  ///< run of `train classifier`
};

void define_image_options(CommandLine& line, ImageSampleOptions& options);
/// What it defines.
std::vector<const char*> image_options();
/// Draws, writes the picture, and prints a JSON object with what was measured if there is a judge. Returns the exit code. Throws
/// ConfigError, before anything is drawn, for an option of `line` that such a run does not heed.
int sample_images(const train::RunDirectory& directory, const ImageSampleOptions& options, uint64_t seed, const CommandLine& line);
/// The same for runs of `train consistency`.
int sample_few_steps(const train::RunDirectory& directory, const ImageSampleOptions& options, uint64_t seed, const CommandLine& line);
/// The same for runs of `train vae` and `train gan`, whose images have no class and are made in one step whatever --steps says.
int sample_latent_images(const train::RunDirectory& directory, const ImageSampleOptions& options, uint64_t seed, const CommandLine& line);
/// The first hundred images (more would be too small to see) as a PNG at options.out.
void save_picture(const ImageSampleOptions& options, const Tensor& images);
/// Throws, before anything is drawn, ConfigError for a count that is no number of images or too small for the judge, IoError for a picture
/// that cannot be written or a judge that is not there.
void check_request(const ImageSampleOptions& options);
/// The class asked for, or every one in turn (−1 where the run has none): [count]. Throws ConfigError for a class outside the run's.
Tensor wanted_labels(int64_t classes, const ImageSampleOptions& options);
/// Whether each of them is a class.
bool asks_for_classes(const Tensor& labels);

}  // namespace plumb::tools
