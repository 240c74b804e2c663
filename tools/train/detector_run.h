// The runs of `plumb train detector`.
#pragma once
#include "engine/data/shapes.h"
#include "models/detection/detector.h"
#include "tools/train/settings.h"

namespace plumb::tools {

/// Everything that config.json of a detector run holds. Training, validation and test images are drawn from three seeds.
struct DetectorRun {
  detection::DetectorConfig network{.classes = data::kShapeKinds};
  int64_t size = 64, shapes = 3, images = 4000, validation = 200, test = 500;
  double noise = 0.05;
  bool overlap = false;
  int64_t denoising_steps = 1;  ///< of evaluations
  uint64_t data_seed = 1;
  TrainingSettings training;

  DetectorRun() {
    training.batch = 8;
    training.steps = 5000;
    training.warmup = 100;
    training.lr = 3e-3;
    training.min_lr = 1e-5;
    training.weight_decay = 1e-4;
    training.beta2 = 0.999;
    training.eval_every = 1000;
  }
  void check() const;
  std::string to_json() const;
  /// Throws ConfigError if `json` is of a run of another kind.
  static DetectorRun from_json(const std::string& json);
  data::Dataset part(int64_t n, uint64_t number) const {
    return data::shapes(n, {.size = size,
                            .channels = network.channels,
                            .max_shapes = shapes,
                            .overlap = overlap,
                            .noise = noise,
                            .seed = 3 * data_seed + number});
  }
};

}  // namespace plumb::tools
