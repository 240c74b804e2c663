// Boxes drawn into pictures, a colour a class.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::detection {

/// image [1 or 3, H, W] in [0, 1] → f32 [3, zoom · H, zoom · W] with the outline of each box (corners in pixels of the image, [n, 4]), one
/// pixel of the result wide, in the colour of its class (i64 [n], colours repeat after eight), later boxes over earlier ones; with
/// strengths [n] in [0, 1] mixed with what is below. What lies outside is cut off. Throws ShapeError for sizes that do not fit, ValueError
/// for zoom < 1.
Tensor draw_boxes(const Tensor& image, const Tensor& boxes, const Tensor& classes, int64_t zoom = 1, const Tensor& strengths = {});

}  // namespace plumb::detection
