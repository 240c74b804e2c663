// Drawing scenes: the picture, the clutter, the digits, the noise.
#include "methods/common/digit_scenes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "ops/vision.h"

namespace plumb::methods {
namespace {

constexpr float kInk = 0.2f;  // what belongs to a digit's box

struct Glyph {
  std::array<float, 64> ink;
  int64_t kind;
};

std::vector<Glyph> glyphs_of(const data::Dataset& digits, const std::vector<int64_t>& class_of_digit) {
  std::vector<Glyph> glyphs;
  for (int64_t i = 0; i < digits.size(); ++i) {
    data::Sample s = digits[i];
    auto label = s.label.item<int64_t>();
    if (label < 0 || label >= static_cast<int64_t>(class_of_digit.size()) || s.image.numel() != 64)
      throw ValueError(fmt::format("digit_scenes: digit {} is an image {} of label {}; takes [1, 8, 8] and the {} digits that have classes",
                                   i, to_string(s.image.shape()), label, class_of_digit.size()));
    int64_t kind = class_of_digit[static_cast<size_t>(label)];
    if (kind < 0) continue;
    Glyph g{{}, kind};
    std::vector<float> ink = to_vector<float>(s.image);
    std::copy(ink.begin(), ink.end(), g.ink.begin());
    glyphs.push_back(g);
  }
  if (glyphs.empty()) throw ValueError("digit_scenes: none of the digits has a class");
  return glyphs;
}

// The glyph enlarged to side × side, bilinear between the middles of its places, nothing outside.
float enlarged(const Glyph& glyph, int64_t side, int64_t row, int64_t column) {
  auto at = [&](int64_t r, int64_t c) { return r < 0 || r > 7 || c < 0 || c > 7 ? 0.0f : glyph.ink[static_cast<size_t>(8 * r + c)]; };
  double y = (static_cast<double>(row) + 0.5) * 8 / static_cast<double>(side) - 0.5;
  double x = (static_cast<double>(column) + 0.5) * 8 / static_cast<double>(side) - 0.5;
  auto top = static_cast<int64_t>(std::floor(y)), left = static_cast<int64_t>(std::floor(x));
  auto wy = static_cast<float>(y - std::floor(y)), wx = static_cast<float>(x - std::floor(x));
  return (at(top, left) * (1 - wx) + at(top, left + 1) * wx) * (1 - wy) + (at(top + 1, left) * (1 - wx) + at(top + 1, left + 1) * wx) * wy;
}

using Box = std::array<double, 4>;

// The smallest box about the ink, in pixels of the glyph's own square.
Box ink_box(const Glyph& glyph, int64_t side) {
  Box b{static_cast<double>(side), static_cast<double>(side), 0, 0};
  for (int64_t r = 0; r < side; ++r)
    for (int64_t c = 0; c < side; ++c)
      if (enlarged(glyph, side, r, c) >= kInk)
        b = {std::min(b[0], static_cast<double>(c)), std::min(b[1], static_cast<double>(r)), std::max(b[2], static_cast<double>(c + 1)),
             std::max(b[3], static_cast<double>(r + 1))};
  return b;
}

double overlap(const Box& a, const Box& b) {
  double w = std::min(a[2], b[2]) - std::max(a[0], b[0]), h = std::min(a[3], b[3]) - std::max(a[1], b[1]);
  if (w <= 0 || h <= 0) return 0;
  return w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h);
}

class Canvas {
 public:
  Canvas(const SceneOptions& o, const std::vector<Glyph>& glyphs, float* pixels, Generator& g)
      : options_(o), glyphs_(glyphs), pixels_(pixels), generator_(g) {}

  // A quarter of a glyph somewhere: ink, but no digit.
  void add_clutter() {
    for (int64_t k = 0; k < options_.clutter; ++k) {
      const Glyph& glyph = any_glyph();
      int64_t side = between(options_.min_side, options_.max_side), half = side / 2;
      int64_t from_row = between(0, side - half), from_column = between(0, side - half);
      int64_t top = between(0, options_.size - half), left = between(0, options_.size - half);
      float strength = brightness();
      for (int64_t r = 0; r < half; ++r)
        for (int64_t c = 0; c < half; ++c) ink(top + r, left + c, strength * enlarged(glyph, side, from_row + r, from_column + c));
    }
  }

  void add_digits() {
    int64_t count = between(options_.min_digits, options_.max_digits);
    for (int64_t k = 0; k < count; ++k)
      for (int attempt = 0; attempt < 30; ++attempt)
        if (add_digit()) break;
  }

  std::vector<Box> boxes;
  std::vector<int64_t> classes;

 private:
  int64_t between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(generator_.next_below(static_cast<uint64_t>(high - low + 1)));
  }
  float brightness() { return static_cast<float>(0.7 + 0.3 * generator_.next_double()); }
  const Glyph& any_glyph() { return glyphs_[generator_.next_below(glyphs_.size())]; }
  void ink(int64_t row, int64_t column, float value) {
    float& p = pixels_[row * options_.size + column];
    p = std::max(p, value);
  }

  bool add_digit() {
    const Glyph& glyph = any_glyph();
    int64_t side = between(options_.min_side, options_.max_side);
    int64_t top = between(0, options_.size - side), left = between(0, options_.size - side);
    Box b = ink_box(glyph, side);
    for (size_t e = 0; e < 4; ++e) b[e] += static_cast<double>(e % 2 ? top : left);
    if (std::any_of(boxes.begin(), boxes.end(), [&](const Box& other) { return overlap(b, other) > 0.05; })) return false;
    float strength = brightness();
    for (int64_t r = 0; r < side; ++r)
      for (int64_t c = 0; c < side; ++c) ink(top + r, left + c, strength * enlarged(glyph, side, r, c));
    boxes.push_back(b);
    classes.push_back(glyph.kind);
    return true;
  }

  const SceneOptions& options_;
  const std::vector<Glyph>& glyphs_;
  float* pixels_;
  Generator& generator_;
};

void check(int64_t n, const Tensor& backgrounds, const SceneOptions& o) {
  if (n < 1) throw ValueError(fmt::format("digit_scenes: {} scenes", n));
  if (o.min_digits < 1 || o.max_digits < o.min_digits)
    throw ValueError(fmt::format("digit_scenes: {} to {} digits", o.min_digits, o.max_digits));
  if (o.min_side < 8 || o.max_side < o.min_side || o.max_side > o.size)
    throw ValueError(fmt::format("digit_scenes: digits of {} to {} pixels in scenes of {}; 8 at least", o.min_side, o.max_side, o.size));
  if (o.clutter < 0 || !(o.noise >= 0) || !(o.background >= 0))
    throw ValueError(
        fmt::format("digit_scenes: clutter {}, noise {:g} and background {:g} must not be negative", o.clutter, o.noise, o.background));
  if (backgrounds.rank() != 4 || backgrounds.size(1) != 1 || backgrounds.numel() == 0)
    throw ShapeError("digit_scenes: backgrounds are to be [m, 1, H, W], got " + to_string(backgrounds.shape()));
}

}  // namespace

Scenes digit_scenes(int64_t n, const data::Dataset& digits, const Tensor& backgrounds, const SceneOptions& o, Generator& g) {
  check(n, backgrounds, o);
  std::vector<Glyph> glyphs = glyphs_of(digits, o.class_of_digit);
  Tensor chosen = randint(0, backgrounds.size(0), {n}, {.dtype = i64, .generator = &g});
  Tensor images =
      contiguous(interpolate(index_select(backgrounds, 0, chosen), {.size = Size2(o.size), .mode = Interpolation::linear}) * o.background);
  auto padded = static_cast<size_t>(o.max_digits);
  std::vector<float> boxes(static_cast<size_t>(n) * padded * 4);
  std::vector<int64_t> classes(static_cast<size_t>(n) * padded, -1);
  for (int64_t i = 0; i < n; ++i) {
    Canvas canvas(o, glyphs, images.data<float>() + i * o.size * o.size, g);
    canvas.add_clutter();
    canvas.add_digits();
    for (size_t k = 0; k < canvas.boxes.size(); ++k) {
      size_t at = static_cast<size_t>(i) * padded + k;
      classes[at] = canvas.classes[k];
      for (size_t e = 0; e < 4; ++e) boxes[4 * at + e] = static_cast<float>(canvas.boxes[k][e]);
    }
  }
  images = clamp(images + randn_like(images, &g) * o.noise, 0, 1);
  return {images, {from_vector(boxes, {n, o.max_digits, 4}), from_vector(classes, {n, o.max_digits})}};
}

Scenes select_scenes(const Scenes& s, const Tensor& index) {
  return {index_select(s.images, 0, index), {index_select(s.truth.boxes, 0, index), index_select(s.truth.classes, 0, index)}};
}

}  // namespace plumb::methods
