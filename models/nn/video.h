// Videos [B, C, F, H, W] as batches of their frames, and back: how image layers see them. The frames of a video follow each other.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::nn {

/// [B, C, F, H, W] → [B·F, C, H, W]. Throws ShapeError for another rank.
Tensor as_frames(const Tensor& videos);
/// The inverse, for videos of `frames` frames. Throws ShapeError unless x is [B·frames, C, H, W].
Tensor as_videos(const Tensor& x, int64_t frames);

}  // namespace plumb::nn
