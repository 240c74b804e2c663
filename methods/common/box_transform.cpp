// Affine maps of images and of the boxes in them.
#include "methods/common/box_transform.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/autograd/grad_mode.h"
#include "ops/grid_sample.h"
#include "ops/shape.h"

namespace plumb::methods {
namespace {

constexpr double kDegree = std::numbers::pi / 180;

// The linear map (a, b; c, d) that leaves the middle of the image where it is.
BoxTransform about_middle(double a, double b, double c, double d, double height, double width) {
  double x = width / 2, y = height / 2;
  return BoxTransform({a, b, x - a * x - b * y, c, d, y - c * x - d * y});
}

}  // namespace

BoxTransform BoxTransform::mirrored(double width) { return BoxTransform({-1, 0, width, 0, 1, 0}); }
BoxTransform BoxTransform::moved(double dx, double dy) { return BoxTransform({1, 0, dx, 0, 1, dy}); }
BoxTransform BoxTransform::scaled(double factor, double height, double width) { return about_middle(factor, 0, 0, factor, height, width); }
BoxTransform BoxTransform::turned(double degrees, double height, double width) {
  double c = std::cos(degrees * kDegree), s = std::sin(degrees * kDegree);
  return about_middle(c, -s, s, c, height, width);
}
BoxTransform BoxTransform::slanted(double degrees_x, double degrees_y, double height, double width) {
  return about_middle(1, std::tan(degrees_x * kDegree), std::tan(degrees_y * kDegree), 1, height, width);
}

BoxTransform BoxTransform::then(const BoxTransform& next) const {
  const auto &a = next.m_, &b = m_;
  return BoxTransform({a[0] * b[0] + a[1] * b[3], a[0] * b[1] + a[1] * b[4], a[0] * b[2] + a[1] * b[5] + a[2], a[3] * b[0] + a[4] * b[3],
                       a[3] * b[1] + a[4] * b[4], a[3] * b[2] + a[4] * b[5] + a[5]});
}

BoxTransform BoxTransform::inverse() const {
  double determinant = m_[0] * m_[4] - m_[1] * m_[3];
  if (!(std::abs(determinant) > 1e-12))
    throw ValueError("box_transform: the map has no inverse, its determinant is " + decimal(determinant));
  double a = m_[4] / determinant, b = -m_[1] / determinant, c = -m_[3] / determinant, d = m_[0] / determinant;
  return BoxTransform({a, b, -a * m_[2] - b * m_[5], c, d, -c * m_[2] - d * m_[5]});
}

Tensor BoxTransform::boxes(const Tensor& corners, double height, double width) const {
  if (corners.rank() != 2 || corners.size(1) != 4)
    throw ShapeError("box_transform: boxes are to be [n, 4], got " + to_string(corners.shape()));
  std::vector<double> v = to_vector(corners);
  for (size_t i = 0; i < v.size(); i += 4) {
    double x1 = v[i], y1 = v[i + 1], x2 = v[i + 2], y2 = v[i + 3], low_x = INFINITY, low_y = INFINITY, high_x = -INFINITY,
           high_y = -INFINITY;
    for (auto [x, y] : {point(x1, y1), point(x2, y1), point(x1, y2), point(x2, y2)}) {
      low_x = std::min(low_x, x), high_x = std::max(high_x, x);
      low_y = std::min(low_y, y), high_y = std::max(high_y, y);
    }
    v[i] = std::clamp(low_x, 0.0, width), v[i + 1] = std::clamp(low_y, 0.0, height);
    v[i + 2] = std::clamp(high_x, 0.0, width), v[i + 3] = std::clamp(high_y, 0.0, height);
  }
  return to(from_vector(v, corners.shape()), corners.dtype());
}

// grid_sample wants, for each place of the result, where to read the image, both in coordinates from −1 to 1: u = 2x/W − 1, v = 2y/H − 1.
Tensor warp_images(const Tensor& images, const std::vector<BoxTransform>& maps) {
  NoGrad off;
  if (images.rank() != 4 || images.size(0) != static_cast<int64_t>(maps.size()))
    throw ShapeError("warp_images: images " + to_string(images.shape()) + " for " + std::to_string(maps.size()) +
                     " maps; takes [B, C, H, W]");
  auto w = static_cast<double>(images.size(3)), h = static_cast<double>(images.size(2));
  std::vector<double> theta;
  for (const BoxTransform& map : maps) {
    BoxTransform back = map.inverse();
    const auto& m = back.matrix();
    // x = (u + 1) W/2, so u' = 2/W (a (u+1) W/2 + b (v+1) H/2 + c) − 1
    for (double e : {m[0], m[1] * h / w, m[0] + m[1] * h / w + 2 * m[2] / w - 1}) theta.push_back(e);
    for (double e : {m[3] * w / h, m[4], m[3] * w / h + m[4] + 2 * m[5] / h - 1}) theta.push_back(e);
  }
  Tensor t = to(from_vector(theta, {images.size(0), 2, 3}), images.dtype());
  return grid_sample(images, affine_grid(t, {images.size(2), images.size(3)}));
}

}  // namespace plumb::methods
