// How images are cut into blocks of Winograd's tiles, and how their places travel between planes of one channel each and windows in which
// 16 channels lie side by side.
#pragma once
#include <array>
#include <vector>

#include "ops/cpu/conv/window.h"
#include "ops/cpu/conv/winograd_kernels.h"

namespace plumb::conv {

/// The table of the instruction set in use for tensors of T, float or bfloat16. For bfloat16 null if there is none.
template <typename T>
const WinogradKernels* winograd_kernels();

/// Where the next frequency begins after `floats` of one: a line further, since whole powers of two would put all frequencies of a tile
/// into the same few lines of L1.
inline int64_t frequency_step(int64_t floats) { return floats + kLanes; }

inline int64_t blocks_of(int64_t channels) { return (channels + kLanes - 1) / kLanes; }

/// Places that lie one after the other in a plane: `count` from `offset` on, `step` apart. The list of where each belongs in the window
/// goes on at `first`.
struct Piece {
  int64_t offset, count, first;
};

/// Places of a rectangle of some images, and where each lies in a window [image, row, column, 16].
struct Places {
  int64_t channel, step;  ///< strides of the planes
  std::vector<Piece> pieces;
  std::vector<int64_t> at;  ///< in the window, in floats
};

/// Rows [y, y + rows) and columns [x, x + columns) of images [image, image + images), laid out as a window; what lies outside the planes
/// has no place in the list.
template <typename T>
Places places_of(const Source<T>& planes, int64_t image, int64_t images, int64_t y, int64_t rows, int64_t x, int64_t columns);

/// window ← channels [channel, channel + count) of the places, count ≤ 16; the lanes from count on become zero. Other places of the window
/// are left as they are.
template <typename T>
void load_places(const WinogradKernels& kernels, const T* planes, const Places& places, int64_t channel, int64_t count, float* window);
/// The way back, into planes whose columns are next to each other.
template <typename T>
void store_places(const WinogradKernels& kernels, const float* window, const Places& places, int64_t channel, int64_t count, T* planes);

/// Calls f(place of the row in a window of `pitch` floats a row and `image` floats an image, first tile of the row) for every row of tiles.
template <typename F>
void for_tile_rows(const Tile& t, int tile, int64_t pitch, int64_t image, const F& f) {
  for (int64_t i = 0; i < t.images; ++i)
    for (int64_t r = 0; r < t.rows; ++r) f(i * image + r * tile * pitch, (i * t.rows + r) * t.columns);
}

}  // namespace plumb::conv
