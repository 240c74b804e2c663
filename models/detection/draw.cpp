// Drawing boxes.
#include "models/detection/draw.h"

#include <algorithm>
#include <cmath>

namespace plumb::detection {
namespace {

constexpr int64_t kColours = 8;
constexpr float kColour[kColours][3] = {{1.0f, 0.2f, 0.2f}, {0.2f, 0.9f, 0.3f}, {0.3f, 0.5f, 1.0f},  {1.0f, 0.85f, 0.1f},
                                        {0.9f, 0.3f, 0.9f}, {0.2f, 0.9f, 0.9f}, {1.0f, 0.55f, 0.1f}, {1.0f, 1.0f, 1.0f}};

struct Picture {
  float* pixels;
  int64_t height, width;

  void mark(int64_t y, int64_t x, const float* colour, float strength) const {
    if (y < 0 || y >= height || x < 0 || x >= width) return;
    for (int64_t c = 0; c < 3; ++c) {
      float& p = pixels[(c * height + y) * width + x];
      p += strength * (colour[c] - p);
    }
  }

  void outline(int64_t x1, int64_t y1, int64_t x2, int64_t y2, const float* colour, float strength) const {
    for (int64_t x = std::max<int64_t>(x1, -1); x <= std::min(x2, width); ++x) {
      mark(y1, x, colour, strength);
      if (y2 != y1) mark(y2, x, colour, strength);
    }
    for (int64_t y = std::max<int64_t>(y1 + 1, -1); y < std::min(y2, height + 1); ++y) {
      mark(y, x1, colour, strength);
      if (x2 != x1) mark(y, x2, colour, strength);
    }
  }
};

}  // namespace

Tensor draw_boxes(const Tensor& image, const Tensor& boxes, const Tensor& classes, int64_t zoom, const Tensor& strengths) {
  if (zoom < 1) throw ValueError("draw_boxes: zoom must be at least 1, it is " + std::to_string(zoom));
  bool fits = image.rank() == 3 && (image.size(0) == 1 || image.size(0) == 3) && boxes.rank() == 2 && boxes.size(1) == 4 &&
              classes.shape() == Shape{boxes.size(0)} && (!strengths.defined() || strengths.shape() == classes.shape());
  if (!fits)
    throw ShapeError("draw_boxes: image " + to_string(image.shape()) + ", boxes " + to_string(boxes.shape()) + " and classes " +
                     to_string(classes.shape()) + " do not fit [1 or 3, H, W], [n, 4] and [n]");
  int64_t height = image.size(1), width = image.size(2);
  std::vector<float> from = to_vector<float>(image), corner = to_vector<float>(boxes),
                     strength =
                         strengths.defined() ? to_vector<float>(strengths) : std::vector<float>(static_cast<size_t>(boxes.size(0)), 1.0f);
  std::vector<int64_t> kind = to_vector<int64_t>(classes);
  Tensor out = empty({3, zoom * height, zoom * width});
  Picture picture{out.data<float>(), zoom * height, zoom * width};
  for (int64_t c = 0; c < 3; ++c)
    for (int64_t y = 0; y < picture.height; ++y)
      for (int64_t x = 0; x < picture.width; ++x)
        picture.pixels[(c * picture.height + y) * picture.width + x] =
            from[static_cast<size_t>(((image.size(0) == 3 ? c : 0) * height + y / zoom) * width + x / zoom)];
  for (size_t i = 0; i < kind.size(); ++i) {
    auto at = [&](size_t e) {
      return static_cast<int64_t>(std::lround(std::clamp(static_cast<double>(corner[4 * i + e]) * static_cast<double>(zoom), -1e6, 1e6)));
    };
    picture.outline(at(0), at(1), at(2) - 1, at(3) - 1, kColour[((kind[i] % kColours) + kColours) % kColours], strength[i]);
  }
  return out;
}

}  // namespace plumb::detection
