// Many small images as one picture.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::train {

struct GridOptions {
  int64_t columns = 0;   ///< 0: about as many as rows
  int64_t border = 2;    ///< pixels around each image, white
  int64_t zoom = 0;      ///< each pixel as a square of so many; 0: so that the sides of an image reach about 48
};

/// images [n, C, H, W], floating, in [0, 1] (what lies outside is clipped), C 1 or 3 → u8 [height, width, C], row by row; unused places
/// are white. Throws ShapeError or DTypeError for another tensor or n = 0.
Tensor image_grid(const Tensor& images, const GridOptions& options = {});

}  // namespace plumb::train
