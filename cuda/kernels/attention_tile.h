// The pieces that attention on tensor cores is built of. A tile is rows of 16-bit elements in shared memory, kWidth of them and 16 bytes of
// padding: then the eight rows of an 8 × 8 matrix lie in different banks whatever the width, and addresses are a base plus constants.
// A warp owns kRowTiles · 16 rows of a product; its factors' fragments are read from tiles, its weights stay in registers.
#pragma once
#include "cuda/kernels/attention.h"
#include "cuda/kernels/fragment.h"
#include "cuda/runtime/launch.h"

namespace plumb::cuda_backend {

inline constexpr float kLog2E = 1.4426950408889634f, kLogOf2 = 0.69314718055994531f;

template <int kWidth>
inline constexpr int kPitch = kWidth + 8;

/// Rows [first, first + kRows) of a matrix [rows, width] whose rows lie `stride` apart, zeros outside it, into a tile. Copies are only
/// started; unaligned rows are read element by element at once.
template <int kRows, int kWidth, int kThreads, typename T>
__device__ __forceinline__ void start_tile(T* tile, const T* matrix, int64_t stride, int first, int rows, int width, bool aligned) {
  first = opaque(first);
  if (aligned) {
    constexpr int kChunks = kWidth / 8;
#pragma unroll
    for (int n = threadIdx.x; n < kRows * kChunks; n += kThreads) {
      const int row = n / kChunks, column = n % kChunks * 8;
      const bool inside = first + row < rows && column < width;
      copy_async_16(tile + row * kPitch<kWidth> + column, inside ? matrix + (first + row) * stride + column : matrix, inside);
    }
  } else {
    for (int n = threadIdx.x; n < kRows * kWidth; n += kThreads) {
      const int row = n / kWidth, column = n % kWidth;
      const bool inside = first + row < rows && column < width;
      tile[row * kPitch<kWidth> + column] = inside ? matrix[(first + row) * stride + column] : T(0.0f);
    }
  }
}

template <int kRowTiles, int kColumns>
using Products = FragmentC[kRowTiles][kColumns / 8];

template <int kRowTiles, int kTiles>
__device__ __forceinline__ void clear(FragmentC (&c)[kRowTiles][kTiles]) {
#pragma unroll
  for (int r = 0; r < kRowTiles; ++r)
#pragma unroll
    for (int n = 0; n < kTiles; ++n) c[r][n] = {{0, 0, 0, 0}};
}

/// c += (the warp's rows of a) · (rows [0, kColumns) of b)ᵀ, sums over kWidth.
template <int kWidth, int kRowTiles, int kTiles, typename T>
__device__ __forceinline__ void multiply_rows(FragmentC (&c)[kRowTiles][kTiles], const T* a, const T* b) {
#pragma unroll
  for (int k = 0; k < kWidth; k += 16) {
    FragmentA left[kRowTiles];
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) left[r] = load_a(a + r * 16 * kPitch<kWidth> + k, kPitch<kWidth>);
#pragma unroll
    for (int n = 0; n < kTiles; n += 2) {
      FragmentB right[2];
      load_b_transposed(right, b + n * 8 * kPitch<kWidth> + k, kPitch<kWidth>);
#pragma unroll
      for (int r = 0; r < kRowTiles; ++r) {
        multiply_add<T>(c[r][n], left[r], right[0]);
        multiply_add<T>(c[r][n + 1], left[r], right[1]);
      }
    }
  }
}

/// c += weights · (rows of b), as many rows as the weights have columns; the weights are rounded to T.
template <int kWidth, int kRowTiles, int kTiles, typename T>
__device__ __forceinline__ void multiply_weights(FragmentC (&c)[kRowTiles][kWidth / 8], const FragmentC (&weights)[kRowTiles][kTiles],
                                                 const T* b) {
#pragma unroll
  for (int k = 0; k < kTiles; k += 2) {
    FragmentA left[kRowTiles];
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) left[r] = as_a<T>(weights[r][k], weights[r][k + 1]);
#pragma unroll
    for (int n = 0; n < kWidth / 8; n += 2) {
      FragmentB right[2];
      load_b(right, b + k * 8 * kPitch<kWidth> + n * 8, kPitch<kWidth>);
#pragma unroll
      for (int r = 0; r < kRowTiles; ++r) {
        multiply_add<T>(c[r][n], left[r], right[0]);
        multiply_add<T>(c[r][n + 1], left[r], right[1]);
      }
    }
  }
}

/// f(value, row, column) for every element of a product that this lane holds, counted from the warp's first row. If kOneByOne, one is
/// done before the next begins: for what loads from memory or needs many registers.
template <bool kOneByOne = false, int kRowTiles, int kTiles, typename F>
__device__ __forceinline__ void for_elements(FragmentC (&c)[kRowTiles][kTiles], F&& f) {
  const int lane = lane_index(), g = lane / 4, t = 2 * (lane % 4);
#pragma unroll
  for (int r = 0; r < kRowTiles; ++r)
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        f(c[r][n].value[i], r * 16 + g + i / 2 * 8, n * 8 + t + i % 2);
        if constexpr (kOneByOne) sync_warp();
      }
    }
}

/// The warp's rows of a product, times factor(row tile, upper or lower half), rounded, to rows [first, rows) of a matrix, by way of
/// `tile`: the warp's own kRowTiles · 16 rows of a tile that no other warp uses any more.
template <int kWidth, int kRowTiles, typename T, typename F>
__device__ __forceinline__ void store_rows(const FragmentC (&c)[kRowTiles][kWidth / 8], T* tile, T* matrix, int64_t stride, int first,
                                           int rows, int width, bool aligned, F&& factor) {
  const int lane = lane_index(), g = lane / 4, t = 2 * (lane % 4);
  sync_warp();
#pragma unroll
  for (int r = 0; r < kRowTiles; ++r)
#pragma unroll
    for (int n = 0; n < kWidth / 8; ++n)
#pragma unroll
      for (int half_of_tile = 0; half_of_tile < 2; ++half_of_tile) {
        const float f = factor(r, half_of_tile);
        const float* v = c[r][n].value + 2 * half_of_tile;
        *reinterpret_cast<uint32_t*>(tile + (r * 16 + half_of_tile * 8 + g) * kPitch<kWidth> + n * 8 + t) =
            pack_pair<T>(v[0] * f, v[1] * f);
      }
  sync_warp();
  constexpr int kRows = kRowTiles * 16, kChunks = kWidth / 8;
  if (aligned) {
    for (int n = lane; n < kRows * kChunks; n += 32) {
      const int row = n / kChunks, column = n % kChunks * 8;
      if (first + row < rows && column < width)
        store_packed<8>(matrix + (first + row) * stride + column, load_packed<8>(tile + row * kPitch<kWidth> + column));
    }
  } else {
    for (int n = lane; n < kRows * kWidth; n += 32) {
      const int row = n / kWidth, column = n % kWidth;
      if (first + row < rows && column < width) matrix[(first + row) * stride + column] = tile[row * kPitch<kWidth> + column];
    }
  }
}

/// What scores become before the exponential, in units of log 2: times scale, plus the mask, −inf where a query may not see. Rows are
/// queries from q0 on and columns keys from k0 on, or, if kKeysAreRows, the other way round.
template <bool kKeysAreRows, int kRowTiles, int kTiles, typename T>
__device__ __forceinline__ void finish_scores(FragmentC (&s)[kRowTiles][kTiles], const AttentionArguments<T>& a, int b, int h, int q0,
                                              int k0, bool whole) {
  const float scale = a.scale * kLog2E;
  for_elements(s, [&](float& score, int, int) { score *= scale; });
  if (a.mask || !whole) q0 = opaque(q0), k0 = opaque(k0);
  if (a.mask)
    for_elements<true>(s, [&](float& score, int row, int column) {
      const int query = q0 + (kKeysAreRows ? column : row), key = k0 + (kKeysAreRows ? row : column);
      if (query < a.queries && key < a.keys) score += a.masked(b, h, query, key) * kLog2E;
    });
  if (!whole)
    for_elements(s, [&](float& score, int row, int column) {
      if (!a.sees(q0 + (kKeysAreRows ? column : row), k0 + (kKeysAreRows ? row : column))) score = -std::numeric_limits<float>::infinity();
    });
}

/// Weights times dropout's factors; rows and columns as above.
template <int kRowTiles, int kTiles, typename T>
__device__ __forceinline__ void drop_weights(FragmentC (&s)[kRowTiles][kTiles], const AttentionArguments<T>& a, int b, int h, int q0,
                                             int k0) {
  q0 = opaque(q0), k0 = opaque(k0);
  for_elements<true>(s, [&](float& weight, int row, int column) {
    weight *= a.dropout.template factor<float>(a.row_of(b, h, q0 + row) * a.keys + k0 + column);
  });
}

/// Calls f.template operator()<W>() for the padded width W that holds `width`.
template <typename F>
void visit_padded_width(int64_t width, F&& f) {
  if (width <= 32)
    f.template operator()<32>();
  else if (width <= 64)
    f.template operator()<64>();
  else if (width <= 128)
    f.template operator()<128>();
  else
    f.template operator()<256>();
}

}  // namespace plumb::cuda_backend
