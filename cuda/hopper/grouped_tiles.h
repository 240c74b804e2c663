// Which tiles a grouped product has, and which block computes what. Only the GPU knows the segments' sizes, so every block works that out
// for itself, once.
#pragma once
#include <cstdint>

#include "cuda/runtime/warp.h"

namespace plumb::cuda_backend {

/// The results of a tile: so many rows (half of them each of two warpgroups') and columns; and how much of the depth is in shared memory at
/// once.
inline constexpr int kTileM = 128, kTileN = 256, kTileK = 64;
inline constexpr int kMostSegments = 1024, kMostSorted = 256;

/// A product of rows with the matrix of their segment: out [rows, n], n over k. An outer product: out [segments, m, n], the sum of a
/// segment's rows of [rows, m] and [rows, n]. Offsets are whatever they are; a segment's rows lie among the operands' rows.
struct GroupedSizes {
  const int64_t* offsets;
  int segments, rows, m, n, k;
  __device__ int across() const { return (n + kTileN - 1) / kTileN; }
  __device__ int down() const { return (m + kTileM - 1) / kTileM; }
};

/// In shared memory: segment e is the rows begin[e] … end[e]; it and those before it have through[e] tiles of rows in all. by_size: the
/// segments, the largest first (as they come, if there are more than kMostSorted).
struct SegmentPlan {
  int begin[kMostSegments], end[kMostSegments], through[kMostSegments], by_size[kMostSegments];
  __device__ int size(int e) const { return end[e] - begin[e]; }
};

/// By all threads of a block, after plan_segments and a barrier; another one afterwards.
__device__ inline void sort_segments(SegmentPlan& plan, int segments) {
  for (int e = static_cast<int>(threadIdx.x); e < segments; e += static_cast<int>(blockDim.x)) {
    int rank = e;
    if (segments <= kMostSorted) {
      rank = 0;
      for (int other = 0; other < segments; ++other)
        rank += plan.size(other) > plan.size(e) || (plan.size(other) == plan.size(e) && other < e) ? 1 : 0;
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
    int through = (end - begin + kTileM - 1) / kTileM;
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

/// Rows [row, row_end) of the result, at most a tile of them, and columns from `column`; sums over `depth` from place `deep` on.
struct Tile {
  int segment, row, row_end, column, deep, depth;
};

/// Tiles of a product: block b of B takes number b, b + B, … Those of neighbouring numbers share their rows, and most often the matrix:
/// both come from L2.
class ProductTiles {
 public:
  __device__ ProductTiles(const SegmentPlan& plan, const GroupedSizes& sizes) : plan_(plan), sizes_(sizes), number_(blockIdx.x) {}
  /// False: there are no more.
  __device__ bool next(Tile& tile) {
    const int across = sizes_.across();
    const int64_t down = number_ / across;
    while (segment_ < sizes_.segments && down >= plan_.through[segment_]) ++segment_;
    if (segment_ == sizes_.segments) return false;
    tile.segment = segment_;
    tile.row = plan_.begin[segment_] + static_cast<int>(down - (segment_ == 0 ? 0 : plan_.through[segment_ - 1])) * kTileM;
    tile.row_end = plan_.end[segment_];
    tile.column = static_cast<int>(number_ % across) * kTileN;
    tile.deep = 0;
    tile.depth = sizes_.k;
    number_ += gridDim.x;
    return true;
  }

 private:
  const SegmentPlan& plan_;
  const GroupedSizes& sizes_;
  int64_t number_;
  int segment_ = 0;
};

/// Tiles of an outer product take as long as their segment has rows. They come in order of length, the longest first, and blocks take them
/// in turns, forwards and backwards: block b of B number b of the first B, number B − 1 − b of the next, … So blocks end at about the same
/// time, and those that run together go through the same rows, which come from L2.
class OuterTiles {
 public:
  __device__ OuterTiles(const SegmentPlan& plan, const GroupedSizes& sizes) : plan_(plan), sizes_(sizes) {}
  __device__ bool next(Tile& tile) {
    const int64_t blocks = gridDim.x, block = blockIdx.x;
    const int64_t number = turn_ * blocks + (turn_ % 2 == 0 ? block : blocks - 1 - block), across = sizes_.across(), down = number / across;
    const int64_t order = down / sizes_.down();
    if (order >= sizes_.segments) return false;
    ++turn_;
    tile.segment = plan_.by_size[order];
    tile.row = static_cast<int>(down % sizes_.down()) * kTileM;
    tile.row_end = sizes_.m;
    tile.column = static_cast<int>(number % across) * kTileN;
    tile.deep = plan_.begin[tile.segment];
    tile.depth = plan_.size(tile.segment);
    return true;
  }

 private:
  const SegmentPlan& plan_;
  const GroupedSizes& sizes_;
  int64_t turn_ = 0;
};

}  // namespace plumb::cuda_backend
