// Matrix products of a block without tensor cores: a tile of 64 × 64 results by 16 × 16 threads, sums over any depth in f32 or f64.
// Operands are what their loaders say, so convolutions are products too.
//
// Thread (x, y) has rows 4y … 4y + 3 and columns x, x + 16, x + 32, x + 48: 16 multiply-adds for 8 loads from shared memory.
#pragma once
#include <cmath>
#include <cstdint>

#include "cuda/runtime/warp.h"
#include "engine/core/dtype.h"

namespace plumb::cuda_backend {

inline constexpr int kPlainTile = 64, kPlainDepth = 16, kPlainThreads = 256, kPlainPitch = kPlainTile + 1;

template <typename A>
using PlainSums = A[4][4];

__device__ inline int plain_row(int i) { return static_cast<int>(threadIdx.x) / 16 * 4 + i; }
__device__ inline int plain_column(int j) { return static_cast<int>(threadIdx.x) % 16 + 16 * j; }

/// Loads elements (i, k0 + k), i < count, k0 + k < depth, of an operand of any strides: store(i, k, value) for four of the 64 × 16 places,
/// neighbouring threads along whichever of i and k is dense.
template <typename T, typename A>
struct MatrixLoader {
  const T* data;
  int64_t stride, depth_stride, count, depth;

  template <typename Store>
  __device__ void load(int64_t k0, Store&& store) const {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int n = static_cast<int>(threadIdx.x) + j * kPlainThreads;
      const int i = depth_stride == 1 ? n / kPlainDepth : n % kPlainTile, k = depth_stride == 1 ? n % kPlainDepth : n / kPlainTile;
      const bool inside = i < count && k0 + k < depth;
      store(i, k, inside ? static_cast<A>(static_cast<compute_t<T>>(data[i * stride + (k0 + k) * depth_stride])) : A(0));
    }
  }
};

/// sums[i][j] = Σ_k left(plain_row(i), k) · right(plain_column(j), k) for k from `begin` to `end`, in order.
template <typename A, typename Left, typename Right>
__device__ void plain_product(PlainSums<A>& sums, const Left& left, const Right& right, int64_t begin, int64_t end) {
  __shared__ A left_tile[kPlainDepth * kPlainPitch], right_tile[kPlainDepth * kPlainPitch];
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j) sums[i][j] = 0;
  for (int64_t k0 = begin; k0 < end; k0 += kPlainDepth) {
    __syncthreads();
    left.load(k0, [&](int i, int k, A value) { left_tile[k * kPlainPitch + i] = k0 + k < end ? value : A(0); });
    right.load(k0, [&](int i, int k, A value) { right_tile[k * kPlainPitch + i] = k0 + k < end ? value : A(0); });
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kPlainDepth; ++k) {
      A l[4], r[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) l[i] = left_tile[k * kPlainPitch + plain_row(i)], r[i] = right_tile[k * kPlainPitch + plain_column(i)];
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) sums[i][j] = std::fma(l[i], r[j], sums[i][j]);
    }
  }
}

/// f(row, column, sum) for each of this thread's sums.
template <typename A, typename F>
__device__ void for_plain_sums(const PlainSums<A>& sums, F&& f) {
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j) f(plain_row(i), plain_column(j), sums[i][j]);
}

}  // namespace plumb::cuda_backend
