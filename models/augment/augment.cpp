// Cropping, flipping, warping, cutting out and colouring: numbers are drawn first, image by image; then the images are made in parallel.
#include "models/augment/augment.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "engine/core/error.h"
#include "models/augment/internal/images.h"
#include "ops/pad.h"

namespace plumb::augment {
namespace {

using detail::between;
using detail::each_image;
using detail::Geometry;
using detail::require;

/// Where x[−padding … size + padding) is read under `mode`; −1: zero.
int64_t source_of(int64_t at, int64_t size, PadMode mode) {
  if (at >= 0 && at < size) return at;
  switch (mode) {
    case PadMode::constant: return -1;
    case PadMode::reflect: return at < 0 ? -at : 2 * (size - 1) - at;
    case PadMode::replicate: return at < 0 ? 0 : size - 1;
    default: return (at % size + size) % size;
  }
}

}  // namespace

Tensor random_crop(const Tensor& images, int64_t padding, Generator& generator, PadMode mode) {
  Geometry g = detail::geometry("random_crop", images);
  require(padding >= 0, "random_crop", "the padding", "not be negative", static_cast<double>(padding));
  if (mode == PadMode::reflect && padding >= std::min(g.height, g.width))
    throw ShapeError("random_crop: images " + to_string(images.shape()) + " are too small to mirror " + std::to_string(padding) +
                     " pixels");
  std::vector<int64_t> shift(static_cast<size_t>(2 * g.batch));
  for (int64_t& s : shift) s = static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(2 * padding + 1))) - padding;
  return each_image("random_crop", images, [&](int64_t i, const float* from, float* to) {
    int64_t down = shift[static_cast<size_t>(2 * i)], right = shift[static_cast<size_t>(2 * i + 1)];
    for (int64_t c = 0; c < g.channels; ++c, from += g.plane(), to += g.plane())
      for (int64_t y = 0; y < g.height; ++y) {
        int64_t row = source_of(y + down, g.height, mode);
        for (int64_t x = 0; x < g.width; ++x) {
          int64_t column = source_of(x + right, g.width, mode);
          to[y * g.width + x] = row < 0 || column < 0 ? 0 : from[row * g.width + column];
        }
      }
  });
}

Tensor random_flip(const Tensor& images, Generator& generator, double rate) {
  Geometry g = detail::geometry("random_flip", images);
  require(rate >= 0 && rate <= 1, "random_flip", "the rate", "lie in [0, 1]", rate);
  std::vector<char> flipped(static_cast<size_t>(g.batch));
  for (char& f : flipped) f = generator.next_double() < rate;
  return each_image("random_flip", images, [&](int64_t i, const float* from, float* to) {
    for (int64_t row = 0; row < g.channels * g.height; ++row, from += g.width, to += g.width) {
      if (flipped[static_cast<size_t>(i)]) std::reverse_copy(from, from + g.width, to);
      else std::copy(from, from + g.width, to);
    }
  });
}

namespace {

/// The pixel of the input that output pixel (x, y), measured from the middle, shows: (a x + b y + u, c x + d y + v).
struct Map {
  double a, b, c, d, u, v;
};

// Output = R(angle) · shear · scale · input + shift, so input = (1/scale) · shear⁻¹ · R(−angle) · (output − shift).
Map draw_map(const AffineOptions& o, const Geometry& g, Generator& generator) {
  constexpr double kDegree = std::numbers::pi / 180;
  double angle = between(-o.degrees, o.degrees, generator.next_double()) * kDegree;
  double dx = between(-o.translate, o.translate, generator.next_double()) * static_cast<double>(g.width);
  double dy = between(-o.translate, o.translate, generator.next_double()) * static_cast<double>(g.height);
  double scale = std::exp(between(-1, 1, generator.next_double()) * std::log1p(o.scale));
  double slant = std::tan(between(-o.shear, o.shear, generator.next_double()) * kDegree);
  double cosine = std::cos(angle) / scale, sine = std::sin(angle) / scale;
  Map m{cosine + slant * sine, sine - slant * cosine, -sine, cosine, 0, 0};
  m.u = -(m.a * dx + m.b * dy);
  m.v = -(m.c * dx + m.d * dy);
  return m;
}

/// Bilinear, zeros outside.
float sample(const float* plane, const Geometry& g, double x, double y) {
  double left = std::floor(x), top = std::floor(y);
  auto x0 = static_cast<int64_t>(left), y0 = static_cast<int64_t>(top);
  auto wx = static_cast<float>(x - left), wy = static_cast<float>(y - top);
  auto at = [&](int64_t row, int64_t column) {
    return row < 0 || row >= g.height || column < 0 || column >= g.width ? 0.0f : plane[row * g.width + column];
  };
  float upper = at(y0, x0) * (1 - wx) + at(y0, x0 + 1) * wx, lower = at(y0 + 1, x0) * (1 - wx) + at(y0 + 1, x0 + 1) * wx;
  return upper * (1 - wy) + lower * wy;
}

}  // namespace

Tensor random_affine(const Tensor& images, const AffineOptions& o, Generator& generator) {
  Geometry g = detail::geometry("random_affine", images);
  for (auto [what, value] : {std::pair{"degrees", o.degrees}, {"translate", o.translate}, {"scale", o.scale}, {"shear", o.shear}})
    require(value >= 0, "random_affine", what, "not be negative", value);
  std::vector<Map> maps;
  for (int64_t i = 0; i < g.batch; ++i) maps.push_back(draw_map(o, g, generator));
  double middle_x = static_cast<double>(g.width - 1) / 2, middle_y = static_cast<double>(g.height - 1) / 2;
  return each_image("random_affine", images, [&](int64_t i, const float* from, float* to) {
    const Map& m = maps[static_cast<size_t>(i)];
    for (int64_t c = 0; c < g.channels; ++c, from += g.plane())
      for (int64_t row = 0; row < g.height; ++row)
        for (int64_t column = 0; column < g.width; ++column) {
          double x = static_cast<double>(column) - middle_x, y = static_cast<double>(row) - middle_y;
          *to++ = sample(from, g, m.a * x + m.b * y + m.u + middle_x, m.c * x + m.d * y + m.v + middle_y);
        }
  });
}

Tensor cutout(const Tensor& images, int64_t side, Generator& generator) {
  Geometry g = detail::geometry("cutout", images);
  require(side >= 0, "cutout", "the side", "not be negative", static_cast<double>(side));
  std::vector<int64_t> corner;
  for (int64_t i = 0; i < g.batch; ++i)
    for (int64_t size : {g.height, g.width})
      corner.push_back(static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(size))) - side / 2);
  return each_image("cutout", images, [&](int64_t i, const float* from, float* to) {
    std::copy(from, from + g.image(), to);
    int64_t top = corner[static_cast<size_t>(2 * i)], left = corner[static_cast<size_t>(2 * i + 1)];
    int64_t x0 = std::max<int64_t>(0, left), x1 = std::min(g.width, left + side);
    for (int64_t c = 0; c < g.channels; ++c, to += g.plane())
      for (int64_t y = std::max<int64_t>(0, top); y < std::min(g.height, top + side) && x0 < x1; ++y)
        std::fill(to + y * g.width + x0, to + y * g.width + x1, 0.0f);
  });
}

namespace {

struct Grey {
  int64_t channels, plane;
  float operator()(const float* image, int64_t pixel) const {
    if (channels < 3) return image[pixel];
    return 0.299f * image[pixel] + 0.587f * image[pixel + plane] + 0.114f * image[pixel + 2 * plane];
  }
};

float clipped(float x) { return std::clamp(x, 0.0f, 1.0f); }

}  // namespace

Tensor colour_jitter(const Tensor& images, const ColourOptions& o, Generator& generator) {
  Geometry g = detail::geometry("colour_jitter", images);
  for (auto [what, value] : {std::pair{"brightness", o.brightness}, {"contrast", o.contrast}, {"saturation", o.saturation}})
    require(value >= 0 && value <= 1, "colour_jitter", what, "lie in [0, 1]", value);
  std::vector<float> factor;
  for (int64_t i = 0; i < g.batch; ++i)
    for (double range : {o.brightness, o.contrast, o.saturation})
      factor.push_back(static_cast<float>(between(1 - range, 1 + range, generator.next_double())));
  Grey grey{g.channels, g.plane()};
  return each_image("colour_jitter", images, [&](int64_t i, const float* from, float* to) {
    const float* f = factor.data() + 3 * i;
    for (int64_t k = 0; k < g.image(); ++k) to[k] = o.brightness > 0 ? clipped(f[0] * from[k]) : from[k];
    if (o.contrast > 0) {
      double sum = 0;
      for (int64_t p = 0; p < g.plane(); ++p) sum += static_cast<double>(grey(to, p));
      auto mean = static_cast<float>(sum / static_cast<double>(g.plane()));
      for (int64_t k = 0; k < g.image(); ++k) to[k] = clipped(mean + f[1] * (to[k] - mean));
    }
    if (o.saturation > 0 && g.channels == 3)
      for (int64_t p = 0; p < g.plane(); ++p) {
        float middle = grey(to, p);
        for (int64_t c = 0; c < 3; ++c) to[c * g.plane() + p] = clipped(middle + f[2] * (to[c * g.plane() + p] - middle));
      }
  });
}

}  // namespace plumb::augment
