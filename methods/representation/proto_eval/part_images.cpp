// Drawing images of parts.
#include "methods/representation/proto_eval/part_images.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "ops/vision.h"

namespace plumb::methods::proto_eval {
namespace {

constexpr int64_t kSide = 8, kParts = 3, kClassCount = static_cast<int64_t>(kClassParts.size());

void check(int64_t n, int64_t least, const Tensor& backgrounds, const PartImageOptions& o, int64_t least_size) {
  if (n < least) throw ValueError(fmt::format("part_images: {} images of {} classes", n, least));
  if (o.size < least_size || !(o.hidden >= 0 && o.hidden <= 1) || !(o.background >= 0) || !(o.noise >= 0))
    throw ValueError(fmt::format("part_images: size {} ({} at least), hidden {:g}, background {:g}, noise {:g}", o.size, least_size,
                                 o.hidden, o.background, o.noise));
  if (backgrounds.rank() != 4 || backgrounds.size(1) != 1 || backgrounds.numel() == 0)
    throw ShapeError("part_images: backgrounds are to be [m, 1, H, W], got " + to_string(backgrounds.shape()));
}

Tensor textures(int64_t n, const Tensor& backgrounds, const PartImageOptions& o, Generator& g) {
  Tensor chosen = randint(0, backgrounds.size(0), {n}, {.dtype = i64, .generator = &g});
  return contiguous(interpolate(index_select(backgrounds, 0, chosen), {.size = Size2(o.size), .mode = Interpolation::linear}) *
                    o.background);
}

using Glyphs = std::array<std::vector<std::vector<float>>, 10>;  // by digit

Glyphs glyphs_of(const data::Dataset& digits) {
  Glyphs glyphs;
  for (int64_t i = 0; i < digits.size(); ++i) {
    data::Sample s = digits[i];
    auto label = s.label.item<int64_t>();
    if (label < 0 || label > 9 || s.image.numel() != kSide * kSide)
      throw ValueError(fmt::format("part_images: digit {} is an image {} of label {}", i, to_string(s.image.shape()), label));
    glyphs[static_cast<size_t>(label)].push_back(to_vector<float>(s.image));
  }
  for (size_t d = 0; d < glyphs.size(); ++d)
    if (glyphs[d].empty()) throw ValueError(fmt::format("part_images: no image shows the digit {}", d));
  return glyphs;
}

struct Corner {
  int64_t row, column;
};

// Corners of three squares that do not overlap: drawn until they do not.
std::array<Corner, kParts> corners(int64_t size, Generator& g) {
  auto free = static_cast<uint64_t>(size - kSide + 1);
  while (true) {
    std::array<Corner, kParts> c;
    for (Corner& corner : c) corner = {static_cast<int64_t>(g.next_below(free)), static_cast<int64_t>(g.next_below(free))};
    bool apart = true;
    for (size_t a = 0; a < c.size(); ++a)
      for (size_t b = a + 1; b < c.size(); ++b)
        apart = apart && (std::abs(c[a].row - c[b].row) >= kSide || std::abs(c[a].column - c[b].column) >= kSide);
    if (apart) return c;
  }
}

void draw(const std::vector<float>& glyph, Corner at, float strength, float* pixels, int64_t size) {
  for (int64_t r = 0; r < kSide; ++r)
    for (int64_t c = 0; c < kSide; ++c) {
      float& p = pixels[(at.row + r) * size + at.column + c];
      p = std::max(p, strength * glyph[static_cast<size_t>(kSide * r + c)]);
    }
}

}  // namespace

int64_t PartImages::least_complete() const {
  std::array<int64_t, kClassParts.size()> complete{};
  auto label = to_vector<int64_t>(labels);
  auto seen = to_vector<int>(parts.visible);
  for (size_t i = 0; i < label.size(); ++i) complete[static_cast<size_t>(label[i])] += seen[3 * i] && seen[3 * i + 1] && seen[3 * i + 2];
  return *std::min_element(complete.begin(), complete.end());
}

PartImages part_images(int64_t n, const data::Dataset& digits, const Tensor& backgrounds, const PartImageOptions& o, Generator& g) {
  check(n, kClassCount, backgrounds, o, 4 * kSide);
  Glyphs glyphs = glyphs_of(digits);
  Tensor images = textures(n, backgrounds, o, g);
  std::vector<int64_t> labels;
  std::vector<float> location;
  std::vector<uint8_t> visible;
  for (int64_t i = 0; i < n; ++i) {
    const auto& digits_of_class = kClassParts[static_cast<size_t>(i % kClassCount)];
    auto at = corners(o.size, g);
    int64_t left_out = g.next_double() < o.hidden ? static_cast<int64_t>(g.next_below(kParts)) : -1;
    for (int64_t q = 0; q < kParts; ++q) {
      Corner corner = at[static_cast<size_t>(q)];
      location.push_back(static_cast<float>(corner.row) + (kSide - 1) / 2.0f),
          location.push_back(static_cast<float>(corner.column) + (kSide - 1) / 2.0f);
      visible.push_back(q != left_out);
      const auto& shown = glyphs[static_cast<size_t>(digits_of_class[static_cast<size_t>(q)])];
      const auto& glyph = shown[static_cast<size_t>(g.next_below(shown.size()))];
      auto strength = static_cast<float>(0.7 + 0.3 * g.next_double());
      if (q != left_out) draw(glyph, corner, strength, images.data<float>() + i * o.size * o.size, o.size);
    }
    labels.push_back(i % kClassCount);
  }
  Parts parts{from_vector(location, {n, kParts, 2}), from_vector(visible, {n, kParts}) != 0};
  return {images + randn_like(images, &g) * o.noise, from_vector(labels), parts};
}

DigitImages digit_images(int64_t n, const data::Dataset& digits, const Tensor& backgrounds, const PartImageOptions& o, Generator& g) {
  check(n, 1, backgrounds, o, kSide);
  Glyphs glyphs = glyphs_of(digits);
  Tensor images = textures(n, backgrounds, o, g);
  auto free = static_cast<uint64_t>(o.size - kSide + 1);
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < n; ++i) {
    labels.push_back(i % 10);
    const auto& shown = glyphs[static_cast<size_t>(i % 10)];
    const auto& glyph = shown[static_cast<size_t>(g.next_below(shown.size()))];
    Corner corner{static_cast<int64_t>(g.next_below(free)), static_cast<int64_t>(g.next_below(free))};
    draw(glyph, corner, static_cast<float>(0.7 + 0.3 * g.next_double()), images.data<float>() + i * o.size * o.size, o.size);
  }
  return {images + randn_like(images, &g) * o.noise, from_vector(labels)};
}

}  // namespace plumb::methods::proto_eval
