// How near generated videos are to real ones, frames and motion apart.
#pragma once
#include <functional>

#include "models/metrics/frechet.h"

namespace plumb::metrics {

struct VideoDistance {
  double frames;  ///< of single frames: how the images look, and how varied they are
  double motion;  ///< of differences of neighbouring frames: how they move
};

/// What is compared of real videos [n, C, F, H, W], n ≥ 2: features of all their frames, and of all differences frame f + 1 − frame f.
/// Features are the pixels unless `features` gives others of images [m, C, H, W]; the differences are those of the features.
class VideoStatistics {
 public:
  using Features = std::function<Tensor(const Tensor& images)>;
  /// Throws ShapeError for another rank, ValueError for fewer than two frames.
  explicit VideoStatistics(const Tensor& videos, Features features = {});
  /// Fréchet distances of generated videos of the same size; infinite where they are not finite. (With features of whole clips by a
  /// pre-trained network, frechet_distance is FVD.)
  VideoDistance distance(const Tensor& videos) const;

 private:
  struct Rows {
    Tensor frames, differences;
  };
  Rows rows(const Tensor& videos) const;
  Features features_;
  FeatureStatistics frames_, differences_;
};

}  // namespace plumb::metrics
