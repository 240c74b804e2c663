// Scenes drawn pixel by pixel.
#include "methods/robust/adele/scenes.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <numbers>
#include <utility>

#include "engine/core/error.h"
#include "ops/pointwise.h"
#include "ops/random.h"

namespace plumb::methods::adele {
namespace {

constexpr int64_t kKinds = 3;
constexpr std::array kContrast{0.45, 0.35, 0.25};  // of disc, bar and ring, each in a channel of its own

struct Shape2 {
  int64_t kind;  // 1 … 3
  double row, column, radius, width, angle;

  bool covers(double r, double c) const {
    double y = r - row, x = c - column, distance = std::hypot(x, y);
    if (kind == 1) return distance <= radius;
    if (kind == 3) return distance <= radius && distance >= radius - width;
    double along = x * std::cos(angle) + y * std::sin(angle), across = y * std::cos(angle) - x * std::sin(angle);
    return std::abs(along) <= radius && std::abs(across) <= width / 2;
  }
};

// Lengths are shares of 32 pixels.
Shape2 draw_shape(int64_t kind, double size, Generator& g) {
  double unit = size / 32;
  auto between = [&](double low, double high) { return low + (high - low) * g.next_double(); };
  Shape2 s{kind, between(0.25, 0.75) * size, between(0.25, 0.75) * size, 0, 0, 0};
  if (kind == 1) s.radius = between(5, 7) * unit;
  if (kind == 2) s.radius = between(7, 9) * unit, s.width = between(5, 6) * unit, s.angle = between(0, std::numbers::pi);
  if (kind == 3) s.radius = between(6, 7.5) * unit, s.width = between(3.5, 4.5) * unit;
  return s;
}

void draw_scene(float* image, int64_t* mask, int64_t size, Generator& g) {
  struct Wave {
    double across, down, phase;
  };
  std::array<Wave, 2> waves;
  for (Wave& w : waves) w = {0.8 * g.next_double() - 0.4, 0.8 * g.next_double() - 0.4, 2 * std::numbers::pi * g.next_double()};
  std::array<bool, kKinds> there{};
  while (!there[0] && !there[1] && !there[2])
    for (bool& t : there) t = g.next_double() < 0.8;
  std::array<int64_t, kKinds> order{1, 2, 3};
  for (uint64_t i = kKinds; i > 1; --i) std::swap(order[i - 1], order[g.next_below(i)]);
  std::array<Shape2, kKinds> shapes;
  for (size_t i = 0; i < shapes.size(); ++i) shapes[i] = draw_shape(order[i], static_cast<double>(size), g);
  for (int64_t r = 0; r < size; ++r)
    for (int64_t c = 0; c < size; ++c) {
      double y = static_cast<double>(r), x = static_cast<double>(c), value = 0.5;
      for (const Wave& w : waves) value += 0.05 * std::sin(w.across * x + w.down * y + w.phase);
      int64_t label = 0;
      for (const Shape2& s : shapes)
        if (there[static_cast<size_t>(s.kind - 1)] && s.covers(y + 0.5, x + 0.5)) label = s.kind;
      for (int64_t channel = 0; channel < kKinds; ++channel) {
        double contrast = channel == label - 1 ? kContrast[static_cast<size_t>(channel)] : 0;
        image[(channel * size + r) * size + c] = static_cast<float>(value + contrast);
      }
      mask[r * size + c] = label;
    }
}

}  // namespace

Scenes make_scenes(int64_t n, int64_t size, Generator& generator, double noise) {
  if (n < 1 || size < 16) throw ValueError(fmt::format("adele: {} scenes of {} pixels; at least 1 of 16 are needed", n, size));
  Scenes scenes{empty({n, kKinds, size, size}), empty({n, size, size}, i64)};
  for (int64_t i = 0; i < n; ++i)
    draw_scene(scenes.images.data<float>() + i * kKinds * size * size, scenes.masks.data<int64_t>() + i * size * size, size, generator);
  scenes.images = scenes.images + noise * randn(scenes.images.shape(), {.generator = &generator});
  return scenes;
}

}  // namespace plumb::methods::adele
