// Changes of images that move their masks with them.
#pragma once
#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::augment {

struct ImagesAndMasks {
  Tensor images;  ///< f32 [B, C, H, W]
  Tensor masks;   ///< i64 [B, H, W]
};

/// Each image and its mask either, with probability `turn`, turned by 0, 90, 180 or 270° and mirrored along a random axis, or rotated by a
/// whole number of degrees uniform in [−degrees, degrees), nearest pixel, zeros (and class 0) outside: the views of TransUNet and AdaWAC.
/// Images must be square. Throws ShapeError for other shapes, DTypeError for other types, ValueError for turn outside [0, 1] or
/// degrees < 1.
ImagesAndMasks turn_or_rotate(const ImagesAndMasks& batch, Generator& generator, double turn = 0.5, int64_t degrees = 20);

}  // namespace plumb::augment
