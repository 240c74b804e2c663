// The runs of `plumb train segment`.
#pragma once
#include "engine/data/shapes.h"
#include "models/unet/segmentation.h"
#include "tools/train/settings.h"

namespace plumb::tools {

/// Everything that config.json of a segmentation run holds. Training, validation and test images are drawn from three seeds.
struct SegmentRun {
  unet::SegmentationConfig network{.in_channels = 3, .classes = 1 + data::kShapeKinds, .width = 16, .depth = 3};
  int64_t size = 64, images = 2000, validation = 200, test = 500;
  double noise = 0.05;
  bool overlap = true;
  uint64_t data_seed = 1;
  TrainingSettings training;

  SegmentRun() {
    training.batch = 16;
    training.steps = 800;
    training.warmup = 50;
    training.lr = 2e-3;
    training.min_lr = 1e-5;
    training.weight_decay = 1e-4;
    training.eval_every = 200;
  }
  void check() const;
  std::string to_json() const;
  /// Throws ConfigError if `json` is of a run of another kind.
  static SegmentRun from_json(const std::string& json);
  data::Dataset shapes(int64_t n, uint64_t part) const {
    return data::shapes(n,
                        {.size = size, .channels = network.in_channels, .overlap = overlap, .noise = noise, .seed = 3 * data_seed + part});
  }
};

}  // namespace plumb::tools
