// Matrix products of a block on tensor cores: a tile of 128 × 128 results, sums over any depth, operands of any strides.
//
// Eight warps, 2 × 4, each 64 × 32 results in 64 registers a lane. Three stages of 32 columns of depth are in shared memory (60 KB), two of
// them under way. For 16 of depth a warp reads 3 KB of fragments for 16 products of 16 × 8 × 16: 192 bytes each, which shared memory gives
// in 1.5 cycles. Bytes from L2 for a multiply-add: 2 · 2 / 128.
#pragma once
#include "cuda/kernels/fragment.h"

namespace plumb::cuda_backend {

inline constexpr int kProductTile = 128, kProductDepth = 32, kProductStages = 3, kProductThreads = 256;

/// Element (i, k), k along the depth, is data[i · stride + k · depth_stride].
template <typename T>
struct Operand {
  const T* data;
  int64_t stride, depth_stride;
};

/// How an operand's tile lies in shared memory: rows of depth, [128, 32], if the depth is dense in memory; else [32, 128].
template <bool kDepthDense>
struct OperandTile {
  static constexpr int kRows = kDepthDense ? kProductTile : kProductDepth, kColumns = kDepthDense ? kProductDepth : kProductTile,
                       kPitch = kColumns + 8;
  static constexpr int kElements = kRows * kPitch;
};
template <bool kLeftDense, bool kRightDense>
inline constexpr size_t kProductSharedBytes = sizeof(uint16_t) * kProductStages*(OperandTile<kLeftDense>::kElements +
                                                                                 OperandTile<kRightDense>::kElements);

/// Whether the tiles of an operand can be copied 16 bytes at a time: its dense dimension and the other's stride are multiples of 8.
template <bool kDepthDense, typename T>
bool copies_16_bytes(const Operand<T>& o, int64_t dense_size) {
  const int64_t dense = kDepthDense ? o.depth_stride : o.stride, other = kDepthDense ? o.stride : o.depth_stride;
  return dense == 1 && other % 8 == 0 && dense_size % 8 == 0 && reinterpret_cast<uintptr_t>(o.data) % 16 == 0;
}

/// Starts the copy of elements (i, k0 + k), i < count, k0 + k < depth, to a tile; zeros elsewhere.
template <bool kDepthDense, typename T>
__device__ __forceinline__ void start_operand(T* tile, const Operand<T>& o, int64_t count, int64_t k0, int64_t depth, bool aligned) {
  using Tile = OperandTile<kDepthDense>;
  const auto inside = [&](int i, int k) { return i < count && k0 + k < depth; };
  if (aligned) {
#pragma unroll
    for (int n = threadIdx.x; n < Tile::kRows * Tile::kColumns / 8; n += kProductThreads) {
      const int row = n / (Tile::kColumns / 8), column = n % (Tile::kColumns / 8) * 8;
      const int i = kDepthDense ? row : column, k = kDepthDense ? column : row;
      copy_async_16(tile + row * Tile::kPitch + column, inside(i, k) ? o.data + i * o.stride + (k0 + k) * o.depth_stride : o.data,
                    inside(i, k));
    }
  } else {
    for (int n = threadIdx.x; n < Tile::kRows * Tile::kColumns; n += kProductThreads) {
      const int row = n / Tile::kColumns, column = n % Tile::kColumns;
      const int i = kDepthDense ? row : column, k = kDepthDense ? column : row;
      tile[row * Tile::kPitch + column] = inside(i, k) ? o.data[i * o.stride + (k0 + k) * o.depth_stride] : T(0.0f);
    }
  }
}

/// sums = left · rightᵀ for `rows` rows of left and `columns` of right, at most 128 each: what this warp's lanes hold of them.
template <bool kLeftDense, bool kRightDense, typename T>
__device__ __forceinline__ void tile_product(FragmentC (&sums)[4][4], const Operand<T>& left, int64_t rows, bool left_aligned,
                                             const Operand<T>& right, int64_t columns, bool right_aligned, int64_t depth, T* shared) {
  using Left = OperandTile<kLeftDense>;
  using Right = OperandTile<kRightDense>;
  const int warp_row = warp_index() / 4 * 64, warp_column = warp_index() % 4 * 32;
  const auto left_tile = [&](int stage) { return shared + stage * (Left::kElements + Right::kElements); };
  const auto right_tile = [&](int stage) { return left_tile(stage) + Left::kElements; };
  const auto start = [&](int64_t step) {
    const int stage = static_cast<int>(step % kProductStages);
    if (step * kProductDepth < depth) {
      start_operand<kLeftDense>(left_tile(stage), left, rows, step * kProductDepth, depth, left_aligned);
      start_operand<kRightDense>(right_tile(stage), right, columns, step * kProductDepth, depth, right_aligned);
    }
    copy_async_commit();  // an empty group keeps the count
  };
#pragma unroll
  for (int r = 0; r < 4; ++r)
#pragma unroll
    for (int c = 0; c < 4; ++c) sums[r][c] = {{0, 0, 0, 0}};
#pragma unroll
  for (int step = 0; step < kProductStages - 1; ++step) start(step);
  for (int64_t step = 0; step * kProductDepth < depth; ++step) {
    copy_async_wait<kProductStages - 2>();
    __syncthreads();  // this step's tiles are here, and nobody reads the last step's any more
    start(step + kProductStages - 1);
    const int stage = static_cast<int>(step % kProductStages);
    const T *l = left_tile(stage), *r = right_tile(stage);
#pragma unroll
    for (int k = 0; k < kProductDepth; k += 16) {
      FragmentA a[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = warp_row + i * 16;
        if constexpr (kLeftDense)
          a[i] = load_a(l + row * Left::kPitch + k, Left::kPitch);
        else
          a[i] = load_a_transposed(l + k * Left::kPitch + row, Left::kPitch);
      }
#pragma unroll
      for (int j = 0; j < 4; j += 2) {
        const int column = warp_column + j * 8;
        FragmentB b[2];
        if constexpr (kRightDense)
          load_b_transposed(b, r + column * Right::kPitch + k, Right::kPitch);
        else
          load_b(b, r + k * Right::kPitch + column, Right::kPitch);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          multiply_add<T>(sums[i][j], a[i], b[0]);
          multiply_add<T>(sums[i][j + 1], a[i], b[1]);
        }
      }
    }
  }
  copy_async_wait<0>();
}

/// f(row, column, two neighbouring values) for what this lane holds of the 128 × 128 sums; the column is even.
template <typename F>
__device__ __forceinline__ void for_sum_pairs(const FragmentC (&sums)[4][4], F&& f) {
  const int lane = lane_index(), row = warp_index() / 4 * 64 + lane / 4, column = warp_index() % 4 * 32 + 2 * (lane % 4);
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      f(row + i * 16, column + j * 8, sums[i][j].value[0], sums[i][j].value[1]);
      f(row + i * 16 + 8, column + j * 8, sums[i][j].value[2], sums[i][j].value[3]);
    }
}

}  // namespace plumb::cuda_backend
