// `plumb sample` for runs of `train unet`: pictures, and how good they are.
#pragma once
#include <optional>
#include <string>

#include "models/train/run_directory.h"
#include "tools/command_line.h"

namespace plumb::tools {

struct ImageSampleOptions {
  int64_t label = -2;  ///< class; −1 none; −2: every class in turn
  int64_t count = 64;
  std::optional<int64_t> steps;
  std::optional<double> guidance, eta, churn;
  std::optional<std::string> sampler;
  std::string out = "samples.png";
  std::string judge;  ///< run of `train classifier`
};

void define_image_options(CommandLine& line, ImageSampleOptions& options);
/// Draws, writes the picture, and prints a JSON object with what was measured if there is a judge. Returns the exit code.
int sample_images(const train::RunDirectory& directory, const ImageSampleOptions& options, uint64_t seed);

}  // namespace plumb::tools
