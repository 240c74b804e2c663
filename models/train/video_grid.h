// Videos as pictures: many clips side by side that move, or their frames in rows.
#pragma once
#include "models/train/image_grid.h"

namespace plumb::train {

/// videos [n, C, F, H, W] in [0, 1] → frames u8 [F, height, width, C], each an image_grid of all videos at that time: for animated PNG.
/// Throws as image_grid, for ShapeError also for another rank.
Tensor video_grid(const Tensor& videos, const GridOptions& options = {});
/// The same videos as one image, a row each with its frames from left to right: u8 [height, width, C]. options.columns is not read.
Tensor video_strips(const Tensor& videos, const GridOptions& options = {});

}  // namespace plumb::train
