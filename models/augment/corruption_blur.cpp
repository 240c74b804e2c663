// Blurs, which are weighted means over neighbouring pixels, and elastic deformation.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/core/error.h"
#include "models/augment/corruption.h"
#include "models/augment/internal/images.h"

namespace plumb::augment {
namespace {

using detail::each_image;
using detail::Geometry;
using detail::require;

/// A pixel's place after reflection at the border without repeating it; clamped where the image is too small for that.
int64_t mirrored(int64_t at, int64_t size) {
  if (at < 0) at = -at;
  if (at >= size) at = 2 * (size - 1) - at;
  return std::clamp<int64_t>(at, 0, size - 1);
}

/// A neighbour at (dy, dx) with its weight.
struct Tap {
  int64_t dy, dx;
  float weight;
};

void normalise(std::vector<Tap>& taps) {
  double sum = 0;
  for (const Tap& t : taps) sum += static_cast<double>(t.weight);
  for (Tap& t : taps) t.weight = static_cast<float>(static_cast<double>(t.weight) / sum);
}

void filter(const std::vector<Tap>& taps, const Geometry& g, const float* from, float* to) {
  for (int64_t c = 0; c < g.channels; ++c, from += g.plane())
    for (int64_t y = 0; y < g.height; ++y)
      for (int64_t x = 0; x < g.width; ++x) {
        float sum = 0;
        for (const Tap& t : taps) sum += t.weight * from[mirrored(y + t.dy, g.height) * g.width + mirrored(x + t.dx, g.width)];
        *to++ = sum;
      }
}

float bilinear(const float* plane, const Geometry& g, double x, double y) {
  x = std::clamp(x, 0.0, static_cast<double>(g.width - 1));
  y = std::clamp(y, 0.0, static_cast<double>(g.height - 1));
  auto x0 = static_cast<int64_t>(x), y0 = static_cast<int64_t>(y);
  int64_t x1 = std::min(x0 + 1, g.width - 1), y1 = std::min(y0 + 1, g.height - 1);
  auto wx = static_cast<float>(x - static_cast<double>(x0)), wy = static_cast<float>(y - static_cast<double>(y0));
  float upper = plane[y0 * g.width + x0] * (1 - wx) + plane[y0 * g.width + x1] * wx;
  float lower = plane[y1 * g.width + x0] * (1 - wx) + plane[y1 * g.width + x1] * wx;
  return upper * (1 - wy) + lower * wy;
}

std::vector<Tap> normal_taps(double sigma) {
  if (sigma <= 0) return {{0, 0, 1}};
  auto reach = static_cast<int64_t>(std::ceil(4 * sigma));
  std::vector<Tap> taps;
  for (int64_t dy = -reach; dy <= reach; ++dy)
    for (int64_t dx = -reach; dx <= reach; ++dx)
      taps.push_back({dy, dx, static_cast<float>(std::exp(-0.5 * static_cast<double>(dy * dy + dx * dx) / (sigma * sigma)))});
  normalise(taps);
  return taps;
}

// The share of the pixel at (dy, dx) that lies within `radius` of the origin, from 9 × 9 points.
float covered(int64_t dy, int64_t dx, double radius) {
  int inside = 0;
  for (int i = -4; i <= 4; ++i)
    for (int j = -4; j <= 4; ++j) inside += std::hypot(static_cast<double>(dy) + i / 9.0, static_cast<double>(dx) + j / 9.0) <= radius;
  return static_cast<float>(inside) / 81;
}

}  // namespace

Tensor gaussian_blur(const Tensor& images, double sigma) {
  Geometry g = detail::geometry("gaussian_blur", images);
  require(sigma >= 0, "gaussian_blur", "sigma", "not be negative", sigma);
  auto taps = normal_taps(sigma);
  return each_image("gaussian_blur", images, [&](int64_t, const float* from, float* to) { filter(taps, g, from, to); });
}

Tensor box_blur(const Tensor& images, int64_t side) {
  Geometry g = detail::geometry("box_blur", images);
  require(side >= 1 && side % 2 == 1, "box_blur", "the side", "be odd and positive", static_cast<double>(side));
  int64_t reach = side / 2;
  float share = 1 / static_cast<float>(side * side);
  return each_image("box_blur", images, [&](int64_t, const float* from, float* to) {
    for (int64_t c = 0; c < g.channels; ++c, from += g.plane())
      for (int64_t y = 0; y < g.height; ++y)
        for (int64_t x = 0; x < g.width; ++x) {
          float sum = 0;
          for (int64_t dy = -reach; dy <= reach; ++dy)
            for (int64_t dx = -reach; dx <= reach; ++dx)
              sum += from[std::clamp<int64_t>(y + dy, 0, g.height - 1) * g.width + std::clamp<int64_t>(x + dx, 0, g.width - 1)];
          *to++ = sum * share;
        }
  });
}

Tensor defocus_blur(const Tensor& images, double radius) {
  Geometry g = detail::geometry("defocus_blur", images);
  require(radius > 0, "defocus_blur", "the radius", "be positive", radius);
  auto reach = static_cast<int64_t>(std::ceil(radius));
  std::vector<Tap> taps;
  for (int64_t dy = -reach; dy <= reach; ++dy)
    for (int64_t dx = -reach; dx <= reach; ++dx)
      if (float w = covered(dy, dx, radius); w > 0) taps.push_back({dy, dx, w});
  normalise(taps);
  return each_image("defocus_blur", images, [&](int64_t, const float* from, float* to) { filter(taps, g, from, to); });
}

Tensor motion_blur(const Tensor& images, double length, Generator& generator) {
  Geometry g = detail::geometry("motion_blur", images);
  require(length >= 1, "motion_blur", "the length", "be at least 1", length);
  std::vector<double> angles;
  for (int64_t i = 0; i < g.batch; ++i) angles.push_back(std::numbers::pi * generator.next_double());
  auto points = static_cast<int64_t>(std::ceil(2 * length));
  return each_image("motion_blur", images, [&](int64_t i, const float* from, float* to) {
    double across = std::cos(angles[static_cast<size_t>(i)]), down = std::sin(angles[static_cast<size_t>(i)]);
    for (int64_t c = 0; c < g.channels; ++c, from += g.plane())
      for (int64_t y = 0; y < g.height; ++y)
        for (int64_t x = 0; x < g.width; ++x) {
          float sum = 0;
          for (int64_t k = 0; k <= points; ++k) {
            double t = (length - 1) * (static_cast<double>(k) / static_cast<double>(points) - 0.5);
            sum += bilinear(from, g, static_cast<double>(x) + t * across, static_cast<double>(y) + t * down);
          }
          *to++ = sum / static_cast<float>(points + 1);
        }
  });
}

Tensor zoom_blur(const Tensor& images, double factor, double step) {
  Geometry g = detail::geometry("zoom_blur", images);
  require(factor >= 1, "zoom_blur", "the factor", "be at least 1", factor);
  require(step > 0, "zoom_blur", "the step", "be positive", step);
  double middle_x = static_cast<double>(g.width - 1) / 2, middle_y = static_cast<double>(g.height - 1) / 2;
  return each_image("zoom_blur", images, [&](int64_t, const float* from, float* to) {
    for (int64_t c = 0; c < g.channels; ++c, from += g.plane())
      for (int64_t y = 0; y < g.height; ++y)
        for (int64_t x = 0; x < g.width; ++x) {
          float sum = 0;
          int count = 0;
          for (int k = 0; 1 + k * step <= factor + 1e-9; ++k, ++count) {
            double shrink = 1 / (1 + k * step);
            sum += bilinear(from, g, (static_cast<double>(x) - middle_x) * shrink + middle_x,
                            (static_cast<double>(y) - middle_y) * shrink + middle_y);
          }
          *to++ = sum / static_cast<float>(count);
        }
  });
}

namespace {

// White noise smoothed and brought back to deviation `strength`.
std::vector<float> smooth_field(const Geometry& g, double strength, const std::vector<Tap>& taps, Generator& generator) {
  Geometry plane{1, 1, g.height, g.width};
  std::vector<float> noise(static_cast<size_t>(g.plane())), field(noise.size());
  for (float& v : noise) v = static_cast<float>(2 * generator.next_double() - 1);
  filter(taps, plane, noise.data(), field.data());
  double squares = 0;
  for (float v : field) squares += static_cast<double>(v) * static_cast<double>(v);
  auto scale = static_cast<float>(strength / std::sqrt(std::max(squares / static_cast<double>(field.size()), 1e-20)));
  for (float& v : field) v *= scale;
  return field;
}

}  // namespace

Tensor elastic(const Tensor& images, double strength, double sigma, Generator& generator) {
  Geometry g = detail::geometry("elastic", images);
  require(strength >= 0, "elastic", "the strength", "not be negative", strength);
  require(sigma > 0, "elastic", "sigma", "be positive", sigma);
  auto taps = normal_taps(sigma);
  std::vector<Generator> own;
  for (int64_t i = 0; i < g.batch; ++i) own.emplace_back(generator.next_u64());
  return each_image("elastic", images, [&](int64_t i, const float* from, float* to) {
    auto across = smooth_field(g, strength, taps, own[static_cast<size_t>(i)]),
         down = smooth_field(g, strength, taps, own[static_cast<size_t>(i)]);
    for (int64_t c = 0; c < g.channels; ++c, from += g.plane())
      for (int64_t y = 0; y < g.height; ++y)
        for (int64_t x = 0; x < g.width; ++x) {
          auto p = static_cast<size_t>(y * g.width + x);
          *to++ = bilinear(from, g, static_cast<double>(x) + static_cast<double>(across[p]),
                           static_cast<double>(y) + static_cast<double>(down[p]));
        }
  });
}

}  // namespace plumb::augment
