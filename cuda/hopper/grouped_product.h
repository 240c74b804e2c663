// Grouped products on an H100's tensor cores at their full rate: out = rows · their segment's matrix (+ bias), and outer products of a
// segment's rows. 16-bit operands, sums in f32.
//
// A block of three warpgroups stays on each multiprocessor and takes tiles of 128 × 256 results. One thread of the first has the copy
// engine bring the operands, 64 of depth at a time, into a ring of four stages (48 KB each); the other two multiply what has come, 64 × 256
// results each in 128 registers a thread, and store it. A stage is told full by the copy engine's bytes and empty by the eight warps that
// read it. The two need not keep step: while one stores, the other has the tensor cores.
// Operations of a stage: 2 · 128 · 256 · 64, 1,024 cycles of the tensor cores; bytes from L2: 48 KB, 47 a cycle; from shared memory 80 a
// cycle.
#pragma once
#include <type_traits>

#include "cuda/hopper/grouped_tiles.h"
#include "cuda/hopper/warpgroup_product.h"
#include "cuda/runtime/instructions.h"
#include "cuda/runtime/launch.h"

namespace plumb::cuda_backend {

inline constexpr int kStages = 4, kGroupedThreads = 384, kAtomBytes = 1024, kRowBytes = 128;
inline constexpr int kLeftBytes = kTileM * kTileK * 2, kRightBytes = kTileN * kTileK * 2,
                     kStageBytes = kLeftBytes + kRightBytes;
/// An operand whose depth is not dense comes in boxes of 64 elements by 64 of depth.
inline constexpr int kBox = 64, kBoxBytes = kBox * kTileK * 2;

struct GroupedShared {
  unsigned char stages[kStages][kStageBytes];  // first: the atoms must be aligned
  SegmentPlan plan;
  uint64_t full[kStages], empty[kStages];
};
inline constexpr size_t kGroupedSharedBytes = sizeof(GroupedShared) + kAtomBytes;  // to begin with an aligned one

template <bool kOuter>
using GroupedTiles = std::conditional_t<kOuter, OuterTiles, ProductTiles>;

/// A place in the ring, and the parity of its current use.
struct RingPlace {
  int stage = 0;
  uint32_t parity = 0;
  __device__ void advance() {
    if (++stage < kStages) return;
    stage = 0;
    parity ^= 1;
  }
};

/// How an operand lies in memory: depth dense, or rows (columns) of the result. Left of a product: [rows, k]; right: [segments, n, k] or
/// [segments, k, n]. Of an outer product both have the depth as their rows.
template <bool kOuter, bool kRightDense>
__device__ void load_stage(unsigned char* stage, uint64_t* full, const CUtensorMap* left, const CUtensorMap* right, const Tile& tile,
                           int deep) {
  unsigned char* right_stage = stage + kLeftBytes;
  barrier_arrive_expecting(full, kStageBytes);
  if constexpr (kOuter) {
#pragma unroll
    for (int i = 0; i < kTileM / kBox; ++i) load_box(stage + i * kBoxBytes, left, full, tile.row + i * kBox, tile.deep + deep);
#pragma unroll
    for (int i = 0; i < kTileN / kBox; ++i)
      load_box(right_stage + i * kBoxBytes, right, full, tile.column + i * kBox, tile.deep + deep);
  } else {
    load_box(stage, left, full, deep, tile.row);
    if constexpr (kRightDense) {
      load_box(right_stage, right, full, deep, tile.column, tile.segment);
    } else {
#pragma unroll
      for (int i = 0; i < kTileN / kBox; ++i)
        load_box(right_stage + i * kBoxBytes, right, full, tile.column + i * kBox, deep, tile.segment);
    }
  }
}

/// Rows of depth from `first` on are another segment's: zeros instead, in this warpgroup's part of the left operand and all of the right
/// one (the other warpgroup writes the same there).
__device__ inline void clear_rows(unsigned char* stage, int warpgroup, int first) {
  const int thread = static_cast<int>(threadIdx.x) % 128, piece = thread % 8 * 16;
  for (int row = first + thread / 8; row < kTileK; row += 128 / 8) {
    unsigned char* at = stage + row * kRowBytes + piece;
    *reinterpret_cast<uint4*>(at + warpgroup * kBoxBytes) = uint4{};
#pragma unroll
    for (int i = 0; i < kTileN / kBox; ++i) *reinterpret_cast<uint4*>(at + kLeftBytes + i * kBoxBytes) = uint4{};
  }
  shared_writes_are_done();
  barrier_of_threads(1 + warpgroup, 128);
}

/// Starts the products of a stage, in one group.
template <typename T, bool kOuter, bool kRightDense>
__device__ __forceinline__ void multiply_stage(float (&sums)[128], const unsigned char* stage, int warpgroup, bool add) {
  const unsigned char *left = stage + warpgroup * (kLeftBytes / 2), *right = stage + kLeftBytes;
  constexpr int kDenseStep = 16 * 2, kBoxStep = 16 * kRowBytes;  // 16 of depth further
  products_begin();
#pragma unroll
  for (int k = 0; k < kTileK / 16; ++k) {
    const uint64_t a =
        operand_descriptor<!kOuter>(left + k * (kOuter ? kBoxStep : kDenseStep), kOuter ? kBoxBytes : kAtomBytes, kAtomBytes);
    const uint64_t b = operand_descriptor<kRightDense>(right + k * (kRightDense ? kDenseStep : kBoxStep),
                                                       kRightDense ? kAtomBytes : kBoxBytes, kAtomBytes);
    product_64_256_16<T, !kOuter, kRightDense>(sums, a, b, add || k > 0);
  }
  products_commit();
}

/// words[b] of lane t of four neighbours ↔ words[t] of lane b.
__device__ __forceinline__ void transpose_words(uint32_t (&words)[4]) {
  const int lane = lane_index();
#pragma unroll
  for (int distance = 1; distance < 4; distance *= 2) {
    const bool upper = lane & distance;
#pragma unroll
    for (int low = 0; low < 4; ++low) {
      if (low & distance) continue;
      const uint32_t other = shuffle_xor(upper ? words[low] : words[low + distance], distance);
      (upper ? words[low] : words[low + distance]) = other;
    }
  }
}

/// What is added to a tile's 256 columns, read before its products so that nobody waits for it after them: of the pairs of columns a warp's
/// lane l holds l, l + 32, l + 64 and l + 96.
template <typename T>
struct ColumnBias {
  uint32_t pairs[4] = {};
  __device__ __forceinline__ void read(const T* bias, int column, int n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int at = column + 2 * (lane_index() + i * kWarp);
      pairs[i] = at < n ? *reinterpret_cast<const uint32_t*>(bias + at) : 0;
    }
  }
  /// Of columns 8 j + 2 t and the next, t this lane's place among four.
  __device__ __forceinline__ uint32_t pair(int j) const { return shuffle(pairs[j / 8], j % 8 * 4 + lane_index() % 4); }
};

/// Stores 64 × 256 results in f32.
__device__ __forceinline__ void store_tile(const float (&sums)[128], const Tile& tile, int warpgroup, int n, float* out) {
  const int lane = lane_index(), row = tile.row + warpgroup * 64 + warp_index() % 4 * 16 + lane / 4, t = lane % 4;
#pragma unroll
  for (int j = 0; j < kTileN / 8; ++j) {
    const int column = tile.column + 8 * j + 2 * t;
#pragma unroll
    for (int down = 0; down < 2; ++down)
      if (row + 8 * down < tile.row_end && column < n)
        *reinterpret_cast<float2*>(out + int64_t{row + 8 * down} * n + column) = float2{sums[4 * j + 2 * down], sums[4 * j + 2 * down + 1]};
  }
}

/// Rounds and stores 64 × 256 results, 16 bytes a thread at a time; n is a multiple of 8.
template <typename T>
__device__ __forceinline__ void store_tile(const float (&sums)[128], const Tile& tile, int warpgroup, const ColumnBias<T>& bias, int n,
                                           T* out) {
  const int lane = lane_index(), row = tile.row + warpgroup * 64 + warp_index() % 4 * 16 + lane / 4, t = lane % 4;
#pragma unroll
  for (int part = 0; part < kTileN / 32; ++part) {
    const int column = tile.column + part * 32;
    if (column >= n) break;
    uint32_t words[2][4];
#pragma unroll
    for (int b = 0; b < 4; ++b) {
      const int j = part * 4 + b;
      const uint32_t add = bias.pair(j);
      const auto low = static_cast<float>(pair_low<T>(add)), high = static_cast<float>(pair_high<T>(add));
#pragma unroll
      for (int down = 0; down < 2; ++down) words[down][b] = pack_pair<T>(sums[4 * j + 2 * down] + low, sums[4 * j + 2 * down + 1] + high);
    }
#pragma unroll
    for (int down = 0; down < 2; ++down) {
      transpose_words(words[down]);
      if (row + 8 * down < tile.row_end && column + 8 * t < n)
        *reinterpret_cast<uint4*>(out + int64_t{row + 8 * down} * n + column + 8 * t) =
            uint4{words[down][0], words[down][1], words[down][2], words[down][3]};
    }
  }
}

// -- the kernel ------------------------------------------------------------------------------------------------------

template <bool kOuter, bool kRightDense>
__device__ __forceinline__ void bring_tiles(GroupedShared& shared, const GroupedSizes& sizes, const CUtensorMap* left,
                                            const CUtensorMap* right) {
  RingPlace place;
  GroupedTiles<kOuter> tiles(shared.plan, sizes);
  for (Tile tile; tiles.next(tile);)
    for (int deep = 0; deep < tile.depth; deep += kTileK, place.advance()) {
      barrier_wait(&shared.empty[place.stage], place.parity ^ 1);
      load_stage<kOuter, kRightDense>(shared.stages[place.stage], &shared.full[place.stage], left, right, tile, deep);
    }
}

/// sums ← of a tile.
template <typename T, bool kOuter, bool kRightDense>
__device__ __forceinline__ void multiply_tile(float (&sums)[128], GroupedShared& shared, RingPlace& place, const Tile& tile,
                                              int warpgroup) {
  const auto leave = [&](int stage) {
    if (lane_index() == 0) barrier_arrive(&shared.empty[stage]);
  };
  int before = -1;
  if (kOuter && tile.depth == 0) {
#pragma unroll
    for (float& sum : sums) sum = 0;
  }
  for (int deep = 0; deep < tile.depth; deep += kTileK, place.advance()) {
    barrier_wait(&shared.full[place.stage], place.parity);
    if (kOuter && tile.depth - deep < kTileK) clear_rows(shared.stages[place.stage], warpgroup, tile.depth - deep);
    multiply_stage<T, kOuter, kRightDense>(sums, shared.stages[place.stage], warpgroup, deep > 0);
    if (before >= 0) {
      products_wait<1>();
      leave(before);
    }
    before = place.stage;
  }
  products_wait<0>();
  products_are_done(sums);
  if (before >= 0) leave(before);
}

template <typename T, bool kRightDense>
__device__ __forceinline__ void product_tiles(GroupedShared& shared, const GroupedSizes& sizes, int warpgroup, const T* bias, T* out) {
  RingPlace place;
  float sums[128];
  ProductTiles tiles(shared.plan, sizes);
  for (Tile tile; tiles.next(tile);) {
    ColumnBias<T> added;
    if (bias) added.read(bias + int64_t{tile.segment} * sizes.n, tile.column, sizes.n);
    multiply_tile<T, false, kRightDense>(sums, shared, place, tile, warpgroup);
    store_tile(sums, tile, warpgroup, added, sizes.n, out);
  }
}

template <typename T, typename Out>
__device__ __forceinline__ void outer_tiles(GroupedShared& shared, const GroupedSizes& sizes, int warpgroup, Out* out) {
  RingPlace place;
  float sums[128];
  OuterTiles tiles(shared.plan, sizes);
  for (Tile tile; tiles.next(tile);) {
    multiply_tile<T, true, false>(sums, shared, place, tile, warpgroup);
    Out* to = out + int64_t{tile.segment} * sizes.m * sizes.n;
    if constexpr (std::is_same_v<Out, float>) store_tile(sums, tile, warpgroup, sizes.n, to);
    else store_tile(sums, tile, warpgroup, ColumnBias<Out>{}, sizes.n, to);
  }
}

/// The beginning of both kernels, by all threads; returns this one's warpgroup.
template <bool kOuter>
__device__ __forceinline__ int start_ring(GroupedShared& shared, const GroupedSizes& sizes) {
  if (threadIdx.x < kWarp) plan_segments(shared.plan, sizes);
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      barrier_init(&shared.full[i], 1);
      barrier_init(&shared.empty[i], 8);
    }
    barriers_are_made();
  }
  __syncthreads();
  if constexpr (kOuter) {
    sort_segments(shared.plan, sizes.segments);
    __syncthreads();
  }
  return shuffle(static_cast<int>(threadIdx.x) / 128, 0);
}

__device__ inline GroupedShared& grouped_shared() {
  auto* bytes = dynamic_shared<unsigned char>();
  return *reinterpret_cast<GroupedShared*>(bytes + (kAtomBytes - shared_address(bytes) % kAtomBytes) % kAtomBytes);
}

template <typename T, bool kRightDense>
__global__ void __launch_bounds__(kGroupedThreads, 1)
    grouped_product(const __grid_constant__ CUtensorMap left, const __grid_constant__ CUtensorMap right, GroupedSizes sizes, const T* bias,
                    T* out) {
  GroupedShared& shared = grouped_shared();
  const int warpgroup = start_ring<false>(shared, sizes);
  if (warpgroup == 0) {
    give_registers_back<40>();
    if (threadIdx.x == 0) bring_tiles<false, kRightDense>(shared, sizes, &left, &right);
  } else {
    take_registers<232>();
    product_tiles<T, kRightDense>(shared, sizes, warpgroup - 1, bias, out);
  }
}

template <typename T, typename Out>
__global__ void __launch_bounds__(kGroupedThreads, 1)
    grouped_outer_product(const __grid_constant__ CUtensorMap left, const __grid_constant__ CUtensorMap right, GroupedSizes sizes,
                          Out* out) {
  GroupedShared& shared = grouped_shared();
  const int warpgroup = start_ring<true>(shared, sizes);
  if (warpgroup == 0) {
    give_registers_back<40>();
    if (threadIdx.x == 0) bring_tiles<true, false>(shared, sizes, &left, &right);
  } else {
    take_registers<232>();
    outer_tiles<T>(shared, sizes, warpgroup - 1, out);
  }
}

}  // namespace plumb::cuda_backend
