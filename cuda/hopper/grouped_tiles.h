// Which tiles a grouped product has. Only the GPU knows the segments' sizes, so every block works out for itself what there is, once, and
// then takes tile after tile: block b of B takes number b of the first B, of the next B number B − 1 − b, of those after them b, … Tiles of
// an outer product take as long as their segment; they come in order of length, the longest first, so that blocks end together.
#pragma once
#include <cstdint>

#include "cuda/runtime/warp.h"

namespace plumb::cuda_backend {

/// The results of a tile: so many rows (half of them each of two warpgroups') and columns; and how much of the depth is in shared memory at once.
inline constexpr int kTileDown = 128, kTileAcross = 256, kTileDeep = 64;
inline constexpr int kMostSegments = 1024, kMostSorted = 256;

/// A product of rows with the matrix of their segment: out [rows, n], n over k. An outer product (kOuter): out [segments, m, n], the
/// sum of a segment's rows of [rows, m] and [rows, n]. Offsets are whatever they are; a segment's rows lie among the operands' rows.
struct GroupedSizes {
  const int64_t* offsets;
  int segments, rows, m, n, k;
};

/// In shared memory: segment e is the rows begin[e] … end[e], and has the tiles of rows before through[e] that no segment before it has.
/// by_size: the segments, the largest first (as they come, if there are more than kMostSorted).
struct SegmentPlan {
  int begin[kMostSegments], end[kMostSegments], through[kMostSegments], by_size[kMostSegments];
};

/// By all threads of a block, after plan_segments and a barrier; another one afterwards.
__device__ inline void sort_segments(SegmentPlan& plan, int segments) {
  for (int e = static_cast<int>(threadIdx.x); e < segments; e += static_cast<int>(blockDim.x)) {
    const int size = plan.end[e] - plan.begin[e];
    int rank = e;
    if (segments <= kMostSorted) {
      rank = 0;
      for (int other = 0; other < segments; ++other) {
        const int its = plan.end[other] - plan.begin[other];
        rank += its > size || (its == size && other < e) ? 1 : 0;
      }
    }
    plan.by_size[rank] = e;
  }
}

/// By one warp.
__device__ inline void plan_segments(SegmentPlan& plan, const GroupedSizes& sizes) {
  const auto row = [&](int e) {
    const int64_t o = sizes.offsets[e];
    return static_cast<int>(o < 0 ? 0 : o < sizes.rows ? o : sizes.rows);
  };
  int before = 0;
  for (int first = 0; first < sizes.segments; first += kWarp) {
    const int e = first + lane_index();
    const bool there = e < sizes.segments;
    const int begin = there ? row(e) : 0, next = there ? row(e + 1) : 0, end = next < begin ? begin : next;
    int through = (end - begin + kTileDown - 1) / kTileDown;
#pragma unroll
    for (int distance = 1; distance < kWarp; distance *= 2) {
      const int other = shuffle_up(through, distance);
      if (lane_index() >= distance) through += other;
    }
    through += before;
    before = shuffle(through, kWarp - 1);
    if (there) {
      plan.begin[e] = begin;
      plan.end[e] = end;
      plan.through[e] = through;
    }
  }
}

/// Rows [row, row_end) of the result, at most a tile of them, and columns from `column`, sums over `depth` from place `deep` on.
struct Tile {
  int segment, row, row_end, column, deep, depth;
};

/// The tiles of one block in order. Those of neighbouring numbers share their rows, and most often the matrix: both come from L2.
template <bool kOuter>
class Tiles {
 public:
  __device__ Tiles(const SegmentPlan& plan, const GroupedSizes& sizes) : plan_(plan), sizes_(sizes) {}
  /// False: there are no more.
  __device__ bool next(Tile& tile) {
    const int blocks = static_cast<int>(gridDim.x), block = static_cast<int>(blockIdx.x);
    const int number = turn_ * blocks + (turn_ % 2 == 0 ? block : blocks - 1 - block);
    ++turn_;
    const int across = (sizes_.n + kTileAcross - 1) / kTileAcross, down = number / across;
    tile.column = number % across * kTileAcross;
    if constexpr (kOuter) {
      const int tiles_down = (sizes_.m + kTileDown - 1) / kTileDown;
      if (down / tiles_down >= sizes_.segments) return false;
      tile.segment = plan_.by_size[down / tiles_down];
      tile.row = down % tiles_down * kTileDown;
      tile.row_end = sizes_.m;
      tile.deep = plan_.begin[tile.segment];
      tile.depth = plan_.end[tile.segment] - tile.deep;
    } else {
      while (segment_ < sizes_.segments && down >= plan_.through[segment_]) ++segment_;
      if (segment_ == sizes_.segments) return false;
      tile.segment = segment_;
      tile.row = plan_.begin[segment_] + (down - (segment_ == 0 ? 0 : plan_.through[segment_ - 1])) * kTileDown;
      tile.row_end = plan_.end[segment_];
      tile.deep = 0;
      tile.depth = sizes_.k;
    }
    return true;
  }

 private:
  const SegmentPlan& plan_;
  const GroupedSizes& sizes_;
  int turn_ = 0, segment_ = 0;
};

}  // namespace plumb::cuda_backend
