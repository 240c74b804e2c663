// Segments of rows whose sizes only the GPU knows, cut into tiles: the grid has as many blocks as could be needed, rows / tile + segments,
// and a block finds its tile from the offsets, or that there is none.
#pragma once
#include <cstdint>

#include "cuda/runtime/warp.h"

namespace plumb::cuda_backend {

/// Rows [begin, end), at most a tile, of a segment; segment −1: there is none.
struct RowTile {
  int segment;
  int64_t begin, end;
};

// The offsets nobody checked: whatever they are, a segment's rows lie among the operands' rows.
struct Offsets {
  const int64_t* data;
  int count;
  int64_t rows;
  __device__ int64_t at(int64_t e) const {
    const int64_t o = data[e];
    return o < 0 ? 0 : o < rows ? o : rows;
  }
  __device__ int64_t begin(int64_t e) const { return at(e); }
  __device__ int64_t size(int64_t e) const {
    const int64_t n = at(e + 1) - at(e);
    return n < 0 ? 0 : n;
  }
};

// Tile number `index` when every segment is cut into tiles of kRows rows. A warp looks at 32 segments at a time.
template <int kRows>
__device__ RowTile row_tile(const Offsets& offsets, int64_t index) {
  const int lane = lane_index();
  int64_t before = 0;
  for (int first = 0; first < offsets.count; first += 32) {
    const int e = first + lane;
    const int64_t tiles = e < offsets.count ? (offsets.size(e) + kRows - 1) / kRows : 0;
    int64_t through = tiles;
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
      const int64_t other = shuffle_up(through, distance);
      if (lane >= distance) through += other;
    }
    through += before;
    const int which = warp_sum(index < through ? 0 : 1);
    if (which < 32) {
      const int64_t start = shuffle(through - tiles, which), begin = offsets.begin(first + which) + (index - start) * kRows;
      const int64_t end = offsets.begin(first + which) + offsets.size(first + which);
      return {first + which, begin, begin + kRows < end ? begin + kRows : end};
    }
    before = shuffle(through, 31);
  }
  return {-1, 0, 0};
}

}  // namespace plumb::cuda_backend
