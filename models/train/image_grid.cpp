// Placing images on a grid.
#include "models/train/image_grid.h"

#include <algorithm>
#include <cmath>

namespace plumb::train {
namespace {

uint8_t byte_of(float value) {
  if (!(value > 0)) return 0;  // NaN too
  return static_cast<uint8_t>(std::lround(255 * std::min(value, 1.0f)));
}

Tensor as_f32(const Tensor& x) {
  if (x.dtype() == f32) return contiguous_data(x);
  Tensor y = empty(x.shape(), f32, cpu, "image_grid");
  copy_data(x, y);
  return y;
}

}  // namespace

Tensor image_grid(const Tensor& images, const GridOptions& o) {
  if (!is_floating(images.dtype())) throw DTypeError("image_grid: images must be floating, they are " + std::string(name(images.dtype())));
  const Shape& s = images.shape();
  if (s.rank() != 4 || s[0] < 1 || (s[1] != 1 && s[1] != 3) || s[2] < 1 || s[3] < 1)
    throw ShapeError("image_grid: takes images [n, 1 or 3, H, W], got " + to_string(s));
  int64_t n = s[0], channels = s[1], height = s[2], width = s[3];
  int64_t zoom = o.zoom > 0 ? o.zoom : std::max<int64_t>(1, 48 / std::max(height, width));
  int64_t columns = o.columns > 0 ? std::min(o.columns, n) : static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(n))));
  int64_t rows = (n + columns - 1) / columns, cell_h = height * zoom + o.border, cell_w = width * zoom + o.border;
  Tensor grid = full({rows * cell_h + o.border, columns * cell_w + o.border, channels}, 255, u8), x = as_f32(images);
  const float* from = x.data<float>();
  uint8_t* to = grid.data<uint8_t>();
  int64_t row_bytes = grid.size(1) * channels;
  for (int64_t i = 0; i < n; ++i) {
    int64_t top = i / columns * cell_h + o.border, left = i % columns * cell_w + o.border;
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t y = 0; y < height * zoom; ++y)
        for (int64_t z = 0; z < width * zoom; ++z)
          to[(top + y) * row_bytes + (left + z) * channels + c] =
              byte_of(from[((i * channels + c) * height + y / zoom) * width + z / zoom]);
  }
  return grid;
}

}  // namespace plumb::train
