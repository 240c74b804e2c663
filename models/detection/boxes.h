// Boxes: forms, overlaps, deltas, and non-maximum suppression. Two forms occur, always as the last dimension of 4:
//   corners  x1, y1, x2, y2
//   centres  cx, cy, width, height
// Everything but non-maximum suppression is made of differentiable operations. Throws ShapeError unless the last dimension is 4.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::detection {

Tensor to_corners(const Tensor& centres);
Tensor to_centres(const Tensor& corners);
/// [width, height, width, height] of the type and device of `like`: what a box as shares of an image is multiplied by.
Tensor image_sides(const Tensor& like, int64_t height, int64_t width);
/// (x2 − x1)(y2 − y1), [..].
Tensor box_area(const Tensor& corners);

/// Intersection over union of boxes given as corners, element by element; shapes broadcast: [.., 4], [.., 4] → [..]. 0 where both areas are
/// 0.
Tensor box_iou(const Tensor& a, const Tensor& b);
/// IoU − (hull − union) / hull, the hull being the smallest box about both (Rezatofighi et al., CVPR 2019): in (−1, 1], with a slope also
/// for boxes apart. IoU itself where the hull has no area.
Tensor generalized_box_iou(const Tensor& a, const Tensor& b);
/// The same for all pairs: [.., n, 4], [.., m, 4] → [.., n, m].
Tensor pairwise_box_iou(const Tensor& a, const Tensor& b);
Tensor pairwise_generalized_box_iou(const Tensor& a, const Tensor& b);

/// Corners kept within [0, width] × [0, height].
Tensor clip_boxes(const Tensor& corners, double height, double width);
/// Boxes moved and scaled: centres c + w · δ/2 for the place and w · e^δ for the size (δ at most log(10⁵/16)), as R-CNNs do with weights 2,
/// 2, 1, 1. boxes as corners, deltas (dx, dy, dw, dh) → corners.
Tensor apply_deltas(const Tensor& corners, const Tensor& deltas);

/// The places, best first, of boxes that overlap no better one of the same class by more than `threshold`: corners [n, 4], scores [n],
/// classes i64 [n] (undefined: all of one) → i64 [kept]. Equal scores: the first counts as better. Throws ShapeError for sizes that differ,
/// ValueError for a threshold outside [0, 1].
Tensor non_maximum_suppression(const Tensor& corners, const Tensor& scores, double threshold, const Tensor& classes = {});

}  // namespace plumb::detection
