// Fréchet distances of frames and of their differences.
#include "models/metrics/video_frechet.h"

#include <cmath>
#include <limits>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::metrics {

VideoStatistics::Rows VideoStatistics::rows(const Tensor& videos) const {
  if (videos.rank() != 5) throw ShapeError("video_frechet: takes videos [n, C, F, H, W], got " + to_string(videos.shape()));
  int64_t n = videos.size(0), frames = videos.size(2);
  if (frames < 2) throw ValueError("video_frechet: motion needs two frames, there are " + std::to_string(frames));
  Tensor images = flatten(transpose(videos, 1, 2), 0, 1);  // [n F, C, H, W]
  Tensor features = features_ ? features_(images) : flatten(images, 1);
  Tensor clips = reshape(features, {n, frames, features.size(1)});
  Tensor differences = narrow(clips, 1, 1, frames - 1) - narrow(clips, 1, 0, frames - 1);
  return {features, flatten(differences, 0, 1)};
}

VideoStatistics::VideoStatistics(const Tensor& videos, Features features) : features_(std::move(features)) {
  NoGrad off;
  Rows real = rows(videos);
  frames_ = feature_statistics(real.frames);
  differences_ = feature_statistics(real.differences);
}

VideoDistance VideoStatistics::distance(const Tensor& videos) const {
  NoGrad off;
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  if (!std::isfinite(sum(videos).item())) return {kInfinite, kInfinite};
  Rows made = rows(videos);
  return {frechet_distance(feature_statistics(made.frames), frames_), frechet_distance(feature_statistics(made.differences), differences_)};
}

}  // namespace plumb::metrics
