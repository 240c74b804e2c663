// Frames of videos.
#include "models/nn/video.h"

#include <string>

#include "ops/shape.h"

namespace plumb::nn {

Tensor as_frames(const Tensor& videos) {
  if (videos.rank() != 5) throw ShapeError("as_frames: takes videos [B, C, F, H, W], got " + to_string(videos.shape()));
  return flatten(transpose(videos, 1, 2), 0, 1);
}

Tensor as_videos(const Tensor& x, int64_t frames) {
  if (x.rank() != 4 || frames < 1 || x.size(0) % frames != 0)
    throw ShapeError("as_videos: " + to_string(x.shape()) + " does not hold whole videos of " + std::to_string(frames) + " frames");
  return transpose(unflatten(x, 0, {x.size(0) / frames, frames}), 1, 2);
}

}  // namespace plumb::nn
