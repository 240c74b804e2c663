// Rendered shapes: images of which every box, mask and keypoint is known exactly, for detection, segmentation and pose.
#pragma once
#include "engine/data/dataset.h"

namespace plumb::data {

/// The classes, by their number.
enum class ShapeKind { circle, square, triangle, star };
inline constexpr int64_t kShapeKinds = 4;
/// A shape has its centre and at most five corners.
inline constexpr int64_t kShapeKeypoints = 6;
/// "circle", "square", "triangle", "star".
std::vector<std::string> shape_names();

struct ShapeOptions {
  int64_t size = 64;     ///< height and width in pixels
  int64_t channels = 3;  ///< 1 or 3
  int64_t min_shapes = 1, max_shapes = 3;
  double min_radius = 0.10, max_radius = 0.22;  ///< of the circle about a shape, as a share of `size`
  bool rotate = true;
  bool overlap = false;           ///< later shapes may hide parts of earlier ones
  bool plain_background = false;  ///< one colour; else a colour, a gradient or a checkerboard, drawn for each image
  double noise = 0;               ///< standard deviation of normal noise on each pixel; values are kept in [0, 1]
  uint64_t seed = 0;
};

/// n images, rendered when they are read; example i depends on (seed, i) alone, the same on every machine. With k shapes in an image:
///   image         [C, size, size] f32 in [0, 1], edges smoothed by 4×4 samples a pixel
///   boxes         [k, 4] f32: x1, y1, x2, y2 of the whole shape in pixels, the image being [0, size]²
///   classes       [k] i64
///   masks         [k, size, size] u8: 1 where the shape covers at least half of the pixel and no later shape does
///   keypoints     [k, 6, 3] f32: x, y and 0 (absent), 1 (hidden) or 2 (visible); the centre, then the corners (a star's points) clockwise
///   segmentation  [size, size] i64: 0 for the background, else 1 + class
///   label         the class, if max_shapes is 1
/// Shapes lie inside the image; a stack of them wants .pad = {{"boxes", 0}, {"classes", -1}, {"masks", 0}, {"keypoints", 0}} unless
/// min_shapes = max_shapes. Throws ValueError for options out of range, and when reading an image for which no place without overlap was
/// found.
Dataset shapes(int64_t n, ShapeOptions options = {});

}  // namespace plumb::data
