// Views of images that remember how they came about, so that boxes can follow from one view to another.
#pragma once
#include <array>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::methods {

/// A map of the plane, p' = M p in homogeneous pixel coordinates, the image being [0, width] × [0, height] and the middle of the pixel in
/// row r and column c (c + ½, r + ½). M is affine.
class BoxTransform {
 public:
  BoxTransform() : m_{1, 0, 0, 0, 1, 0} {}  ///< the identity
  /// Rows (a, b, c), (d, e, f): x' = a x + b y + c, y' = d x + e y + f.
  explicit BoxTransform(const std::array<double, 6>& m) : m_(m) {}

  static BoxTransform mirrored(double width);  ///< left to right
  static BoxTransform moved(double dx, double dy);
  /// About the middle of the image: enlarged; turned by degrees (clockwise, y pointing down); slanted by tan(degrees) along x and along y.
  static BoxTransform scaled(double factor, double height, double width);
  static BoxTransform turned(double degrees, double height, double width);
  static BoxTransform slanted(double degrees_x, double degrees_y, double height, double width);

  /// First this, then `next`.
  BoxTransform then(const BoxTransform& next) const;
  /// Throws ValueError for a map that flattens the plane.
  BoxTransform inverse() const;
  std::array<double, 2> point(double x, double y) const { return {m_[0] * x + m_[1] * y + m_[2], m_[3] * x + m_[4] * y + m_[5]}; }
  /// The hull of each box's four corners after the map, clipped to the image: corners [n, 4] → [n, 4], of their type. Throws ShapeError for
  /// another shape.
  Tensor boxes(const Tensor& corners, double height, double width) const;
  const std::array<double, 6>& matrix() const { return m_; }

 private:
  std::array<double, 6> m_;
};

/// Each image [B, C, H, W] under its own map, bilinear, zeros outside: the result at M p is what the image is at p. Nothing is recorded.
/// Throws ShapeError unless there is a map an image.
Tensor warp_images(const Tensor& images, const std::vector<BoxTransform>& maps);

}  // namespace plumb::methods
