// Whether the true boxes of a batch can be what they claim to be.
#pragma once
#include "models/detection/objects.h"

namespace plumb::detection {

/// Throws, naming `op`, the image and the box: ShapeError unless boxes are [B, K, 4] and classes [B, K]; IndexError for a class outside
/// [−1, classes); ValueError for a box (of a class ≥ 0) that is not finite, has no width or height, or reaches outside the image
/// [0, width] × [0, height] by more than a thousandth of a pixel. What is padding is not looked at.
void check_objects(const char* op, const Objects& objects, int64_t classes, double height, double width);

}  // namespace plumb::detection
