// What `plumb train gan`, `eval` and `sample` share: a run's settings, its pair of networks, and images drawn from it.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "models/gan/dcgan.h"
#include "models/gan/style.h"
#include "models/gan/training.h"
#include "tools/progress_bar.h"
#include "tools/train/settings.h"

namespace plumb::tools {

/// Everything that config.json of a GAN run holds.
struct GanRun {
  std::string model = "dcgan";    ///< dcgan or style
  gan::DcganConfig dcgan;
  gan::StyleConfig style;
  std::string loss = "non_saturating";
  gan::GanTrainingOptions options;  ///< whose loss is named by `loss`
  std::vector<std::string> data;  ///< absolute paths, or "digits"
  std::string data_sha256;        ///< of the files' hashes
  double validation = 0.05;       ///< share of the training part that is held back to compare samples with
  std::vector<int64_t> image;     ///< [C, H, W]
  TrainingSettings training;

  /// The defaults of --model dcgan.
  GanRun();
  /// Those of --model style.
  static GanRun for_style();
  std::string to_json() const;
  static GanRun from_json(const std::string& json);
  /// Throws ConfigError naming the option that is out of range.
  void check() const;
};

/// A pair of the run's kind, its weights drawn from the default generator.
std::unique_ptr<gan::Gan> make_gan(const GanRun& run);
/// The run's pair with its trained weights, in evaluation mode.
std::unique_ptr<gan::Gan> load_gan(const train::RunDirectory& directory, const GanRun& run);

/// `count` images [n, C, H, W] in [0, 1]. The pair must be in evaluation mode.
Tensor sample(const gan::Gan& pair, const GanRun& run, int64_t count, Generator& random, const ProgressFunction& progress = {});

/// The sliced Wasserstein distance, on pixels, between `images` and as many drawn ones.
double distance_to(const gan::Gan& pair, const GanRun& run, const Tensor& images);

}  // namespace plumb::tools
