// What a tile of output places reads: a window of the input, with the padding laid around it, in the type that products are computed from.
#pragma once
#include <algorithm>
#include <cstring>
#include <type_traits>
#include <vector>

#include "engine/core/tensor.h"
#include "ops/cpu/gemm/pack.h"

namespace plumb::conv {

/// The places of the input that one output place reads: place (y, x) reads rows y · step_h + tap.y and columns x · step_w + tap.x.
struct Tap {
  int64_t y, x;
};
struct TapGrid {
  int64_t step_h, step_w;
  std::vector<Tap> taps;
  int64_t min_y = 0, max_y = 0, min_x = 0, max_x = 0;

  TapGrid(int64_t step_h_, int64_t step_w_, std::vector<Tap> list) : step_h(step_h_), step_w(step_w_), taps(std::move(list)) {
    if (taps.empty()) return;
    const auto [top, bottom] = std::minmax_element(taps.begin(), taps.end(), [](const Tap& a, const Tap& b) { return a.y < b.y; });
    const auto [left, right] = std::minmax_element(taps.begin(), taps.end(), [](const Tap& a, const Tap& b) { return a.x < b.x; });
    min_y = top->y, max_y = bottom->y, min_x = left->x, max_x = right->x;
  }
  int64_t count() const { return static_cast<int64_t>(taps.size()); }
  int64_t height(int64_t rows) const { return (rows - 1) * step_h + max_y - min_y + 1; }
  int64_t width(int64_t columns) const { return (columns - 1) * step_w + max_x - min_x + 1; }
};

/// Some output places: `images` images × `rows` rows × `columns` columns.
struct Tile {
  int64_t image, images, y, rows, x, columns;
  int64_t places() const { return images * rows * columns; }
};

/// A cutting of all output places into tiles.
struct Tiling {
  int64_t batch, height, width;
  int64_t images, rows, columns;  ///< of a tile
  int64_t down, across, count;    ///< tiles over the height, over the width, in all

  /// Tiles whose windows over `channels` channels take at most about `bytes`, and at most `places` places; small images are put together.
  Tiling(int64_t batch_, int64_t height_, int64_t width_, const TapGrid& grid, int64_t channels, int64_t item, int64_t bytes,
         int64_t places)
      : batch(batch_), height(height_), width(width_), images(1) {
    columns = std::min(width, places);
    const int64_t row_bytes = std::max<int64_t>(1, channels * grid.width(columns) * grid.step_h * item);
    rows = std::clamp<int64_t>(std::min(bytes / row_bytes, places / columns), 1, height);
    if (columns == width && rows == height)
      images = std::clamp<int64_t>(std::min(bytes / (row_bytes * height), places / (height * width)), 1, batch);
    down = (height + rows - 1) / rows, across = (width + columns - 1) / columns;
    count = (batch + images - 1) / images * down * across;
  }
  Tile operator[](int64_t i) const {
    const int64_t x = i % across * columns, y = i / across % down * rows, image = i / across / down * images;
    return {image, std::min(images, batch - image), y, std::min(rows, height - y), x, std::min(columns, width - x)};
  }
};

/// An input of any strides.
template <typename T>
struct Source {
  const T* data;
  int64_t height, width;
  int64_t image, channel, row, column;  ///< strides

  explicit Source(const Tensor& x)
      : data(x.data<T>()), height(x.shape()[2]), width(x.shape()[3]), image(x.strides()[0]), channel(x.strides()[1]), row(x.strides()[2]),
        column(x.strides()[3]) {}
};

/// Element (i, c, y, x), counted from the window's corner, lies at data[i · image + c · channel + y · row + x · column].
template <typename C>
struct Window {
  const C* data;
  int64_t image, channel, row, column;
};

/// Values that window() may write.
inline int64_t window_size(const Tiling& tiling, const TapGrid& grid, int64_t channels) {
  return tiling.images * channels * grid.height(tiling.rows) * grid.width(tiling.columns);
}

/// Row y of the input from column x on, zero outside it.
template <typename T, typename C>
void copy_row(const T* row, bool inside, int64_t column, int64_t width, int64_t x, int64_t count, C* to) {
  const int64_t begin = inside ? std::clamp<int64_t>(-x, 0, count) : count,
                end = inside ? std::clamp<int64_t>(width - x, begin, count) : count;
  std::fill_n(to, begin, C(0));
  const T* from = row + x * column;
  if constexpr (std::is_same_v<T, C>) {
    if (column == 1) std::copy(from + begin, from + end, to + begin);
    else
      for (int64_t i = begin; i < end; ++i) to[i] = from[i * column];
  } else {
    for (int64_t i = begin; i < end; ++i) to[i] = static_cast<C>(from[i * column]);
  }
  std::fill_n(to + end, count - end, C(0));
}

/// The window of `tile` over channels [channel, channel + channels), in elements C: the input itself where nothing is to be padded or
/// converted, else a copy in `buffer`.
template <typename T, typename C>
Window<C> window(const Source<T>& in, const TapGrid& grid, const Tile& tile, int64_t channel, int64_t channels, C* buffer) {
  const int64_t y = tile.y * grid.step_h + grid.min_y, x = tile.x * grid.step_w + grid.min_x;
  const int64_t h = grid.height(tile.rows), w = grid.width(tile.columns);
  const T* first = in.data + tile.image * in.image + channel * in.channel;
  if constexpr (std::is_same_v<T, C>)
    if (in.column == 1 && y >= 0 && x >= 0 && y + h <= in.height && x + w <= in.width)
      return {first + y * in.row + x, in.image, in.channel, in.row, 1};
  auto* to = buffer;
  for (int64_t i = 0; i < tile.images; ++i)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t r = 0; r < h; ++r, to += w) {
        const bool inside = y + r >= 0 && y + r < in.height;
        copy_row(first + i * in.image + c * in.channel + (inside ? y + r : 0) * in.row, inside, in.column, in.width, x, w, to);
      }
  return {buffer, channels * h * w, h * w, w, 1};
}

/// The same in pairs of channels, which count as one: (2c, 2c + 1), with zeros beside an odd last one. Always a copy.
inline Window<gemm::Bf16Pair> window(const Source<bfloat16>& in, const TapGrid& grid, const Tile& tile, int64_t channel, int64_t channels,
                                     gemm::Bf16Pair* buffer) {
  const int64_t y = tile.y * grid.step_h + grid.min_y, x = tile.x * grid.step_w + grid.min_x;
  const int64_t h = grid.height(tile.rows), w = grid.width(tile.columns), begin = std::clamp<int64_t>(-x, 0, w),
                end = std::clamp<int64_t>(in.width - x, begin, w);
  gemm::Bf16Pair* to = buffer;
  for (int64_t i = 0; i < tile.images; ++i)
    for (int64_t c = 0; c < channels; c += 2)
      for (int64_t r = 0; r < h; ++r, to += w) {
        std::fill_n(to, w, gemm::Bf16Pair{});
        if (y + r < 0 || y + r >= in.height) continue;
        const bfloat16* even = in.data + (tile.image + i) * in.image + (channel + c) * in.channel + (y + r) * in.row + x * in.column;
        if (c + 1 == channels)
          for (int64_t j = begin; j < end; ++j) to[j].even = even[j * in.column].bits;
        else if (in.column == 1)
          for (int64_t j = begin; j < end; ++j) to[j] = {even[j].bits, even[in.channel + j].bits};
        else
          for (int64_t j = begin; j < end; ++j) to[j] = {even[j * in.column].bits, even[in.channel + j * in.column].bits};
      }
  const int64_t pairs = (channels + 1) / 2;
  return {buffer, pairs * h * w, h * w, w, 1};
}

/// Neighbouring places of one output row: `count` elements of the window from `offset` on, `step_w` apart.
struct Run {
  int64_t offset, count;
};

/// The runs of places [begin, end) of a tile, counted row by row. Returns their number.
template <typename C>
int64_t runs_of(const Window<C>& w, const TapGrid& grid, const Tile& tile, int64_t begin, int64_t end, Run* runs) {
  int64_t n = 0;
  while (begin < end) {
    const int64_t x = begin % tile.columns, row = begin / tile.columns, y = row % tile.rows, image = row / tile.rows;
    const int64_t count = std::min(end - begin, tile.columns - x);
    runs[n++] = {image * w.image + y * grid.step_h * w.row + x * grid.step_w * w.column, count};
    begin += count;
  }
  return n;
}

/// to[0, count) ← x[0, count), for a few elements: a vector at a time, without a call.
template <typename C>
void copy_few(const C* x, int64_t count, C* to) {
  constexpr int64_t kVector = 32 / sizeof(C);
  int64_t i = 0;
  for (; i + kVector <= count; i += kVector) std::memcpy(to + i, x + i, sizeof(C) * kVector);
  if (i + kVector / 2 <= count) std::memcpy(to + i, x + i, sizeof(C) * kVector / 2), i += kVector / 2;
  for (; i < count; ++i) to[i] = x[i];
}

/// to[0, Σ counts) ← the runs of one channel and tap, whose corner is `from`.
template <typename C>
void copy_runs(const C* from, const Run* runs, int64_t n, int64_t step, C* to) {
  for (int64_t r = 0; r < n; to += runs[r++].count) {
    const C* x = from + runs[r].offset;
    if (step == 1)
      copy_few(x, runs[r].count, to);
    else if (step == 2)
      for (int64_t i = 0; i < runs[r].count; ++i) to[i] = x[2 * i];
    else
      for (int64_t i = 0; i < runs[r].count; ++i) to[i] = x[step * i];
  }
}

}  // namespace plumb::conv
