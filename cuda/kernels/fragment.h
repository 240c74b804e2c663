// Matrix fragments on tensor cores as values, and how they come from tiles in shared memory whose rows lie `pitch` 16-bit elements apart.
// With g = lane / 4 and t = 2 · (lane mod 4), instructions.h says what a lane holds. The eight rows of an 8 × 8 matrix are read at once, 16
// bytes each: an odd multiple of 16 bytes as the pitch puts them into different banks.
#pragma once
#include "cuda/runtime/instructions.h"
#include "cuda/runtime/warp.h"

namespace plumb::cuda_backend {

/// A, 16 × 16.
struct FragmentA {
  uint32_t word[4];
};
/// B, 16 × 8.
struct FragmentB {
  uint32_t word[2];
};
/// A product, 16 × 8 in f32: (g, t), (g, t + 1), (g + 8, t), (g + 8, t + 1).
struct FragmentC {
  float value[4];
};

/// c += a · b.
template <typename T>
__device__ __forceinline__ void multiply_add(FragmentC& c, const FragmentA& a, const FragmentB& b) {
  multiply_accumulate<T>(c.value, a.word, b.word);
}

/// Rows [0, 16) × columns [0, 16) of a tile, as A.
template <typename T>
__device__ __forceinline__ FragmentA load_a(const T* tile, int pitch) {
  const int lane = lane_index();
  FragmentA a;
  load_matrix_x4(a.word, tile + (lane & 15) * pitch + (lane >> 4) * 8);
  return a;
}
/// The transpose of rows [0, 16) × columns [0, 16) of a tile, as A.
template <typename T>
__device__ __forceinline__ FragmentA load_a_transposed(const T* tile, int pitch) {
  const int lane = lane_index();
  FragmentA a;
  load_matrix_x4_transposed(a.word, tile + ((lane >> 4) * 8 + (lane & 7)) * pitch + ((lane >> 3) & 1) * 8);
  return a;
}
/// Rows [0, 16) × columns [0, 16) of a tile as two B side by side: b[0] is columns [0, 8), b[1] columns [8, 16).
template <typename T>
__device__ __forceinline__ void load_b(FragmentB (&b)[2], const T* tile, int pitch) {
  const int lane = lane_index();
  uint32_t word[4];
  load_matrix_x4_transposed(word, tile + (lane & 15) * pitch + (lane >> 4) * 8);
  b[0] = {{word[0], word[1]}};
  b[1] = {{word[2], word[3]}};
}
/// The transpose of rows [0, 16) × columns [0, 16) of a tile as two B side by side: b[0] is from rows [0, 8), b[1] from rows [8, 16).
template <typename T>
__device__ __forceinline__ void load_b_transposed(FragmentB (&b)[2], const T* tile, int pitch) {
  const int lane = lane_index();
  uint32_t word[4];
  load_matrix_x4(word, tile + ((lane >> 4) * 8 + (lane & 7)) * pitch + ((lane >> 3) & 1) * 8);
  b[0] = {{word[0], word[1]}};
  b[1] = {{word[2], word[3]}};
}
/// Two products side by side (columns [0, 8) and [8, 16)), rounded to T, as A: a product becomes the next one's left factor.
template <typename T>
__device__ __forceinline__ FragmentA as_a(const FragmentC& left, const FragmentC& right) {
  return {{pack_pair<T>(left.value[0], left.value[1]), pack_pair<T>(left.value[2], left.value[3]),
           pack_pair<T>(right.value[0], right.value[1]), pack_pair<T>(right.value[2], right.value[3])}};
}

}  // namespace plumb::cuda_backend
