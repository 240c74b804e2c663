// Instructions that C++ has no name for: 16-byte accesses, asynchronous copies to shared memory, matrix fragments and products on tensor
// cores. Each is one function with its meaning in the comment; the simulated device of the tests does the same in plain C++.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cuda/runtime/warp.h"
#include "engine/core/half.h"

namespace plumb::cuda_backend {

/// N elements that are read or written at once; at most 16 bytes, at an address that is a multiple of the size.
template <typename T, int N>
struct alignas(sizeof(T) * N) Packed {
  static_assert(sizeof(T) * N <= 16);
  T v[N];
  __device__ T& operator[](int i) { return v[i]; }
  __device__ const T& operator[](int i) const { return v[i]; }
};
/// How many elements of T are 16 bytes.
template <typename T> inline constexpr int kPerAccess = 16 / static_cast<int>(sizeof(T));
template <typename T> using Packed16 = Packed<T, kPerAccess<T>>;

/// *at, and at[0 … N) as one access.
template <int N, typename T> __device__ Packed<T, N> load_packed(const T* at) { return *reinterpret_cast<const Packed<T, N>*>(at); }
template <int N, typename T> __device__ void store_packed(T* at, const Packed<T, N>& x) { *reinterpret_cast<Packed<T, N>*>(at) = x; }
/// The same to global memory by the instruction's own name. The compiler takes an assignment apart into elements, and in long kernels does
/// not always put it together again; but nothing is moved across this, so it is for stores that loads do not have to overtake.
template <int N, typename T> __device__ void store_packed_whole(T* at, const Packed<T, N>& x) {
#if defined(__CUDACC__)
  if constexpr (sizeof x >= 8) {
    uint32_t w[sizeof x / 4];
    memcpy(w, &x, sizeof x);
    if constexpr (sizeof x == 16)
      asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(at), "r"(w[0]), "r"(w[1]), "r"(w[2]), "r"(w[3]) : "memory");
    else asm volatile("st.global.v2.b32 [%0], {%1, %2};" ::"l"(at), "r"(w[0]), "r"(w[1]) : "memory");
    return;
  }
#endif
  store_packed(at, x);
}

/// 2ˣ by the special function unit: within 2 ulp, subnormal results flushed to 0.
__device__ inline float fast_exp2(float x) {
#if defined(__CUDACC__)
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  float y = std::exp2(x);
  return y < 0x1p-126f ? 0.0f : y;
#endif
}

/// x, of which the compiler knows nothing from here on: what is worked out from it is worked out here, not before a loop and kept in
/// registers that the loop needs.
__device__ inline int opaque(int x) {
#if defined(__CUDACC__)
  asm volatile("" : "+r"(x));
#endif
  return x;
}

// -- 16-bit pairs in a register ----------------------------------------------------------------------------------------------------
/// Two floats rounded to T (bfloat16 or half), `low` in the low 16 bits.
template <typename T>
__device__ uint32_t pack_pair(float low, float high) {
#if defined(__CUDACC__)
  uint32_t pair;
  if constexpr (std::is_same_v<T, bfloat16>) asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  else asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#else
  return static_cast<uint32_t>(T(low).bits) | static_cast<uint32_t>(T(high).bits) << 16;
#endif
}
/// The T in the low (high) half of `pair`.
template <typename T>
__device__ T pair_low(uint32_t pair) {
  T x;
  x.bits = static_cast<uint16_t>(pair);
  return x;
}
template <typename T>
__device__ T pair_high(uint32_t pair) {
  T x;
  x.bits = static_cast<uint16_t>(pair >> 16);
  return x;
}

// -- copies from global to shared memory that run while the thread goes on -------------------------------------------------------------
/// Starts to copy 16 bytes; zeros are written if not `valid` (then `from` is not read). Both addresses are multiples of 16. Not there
/// before copy_async_wait and, for other threads, a barrier.
__device__ inline void copy_async_16(void* shared, const void* from, bool valid = true) {
#if defined(__CUDACC__)
  uint32_t to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
#else
  simulated::copy_async(shared, from, 16, valid);
#endif
}
/// Closes a group of the copies that this thread started.
__device__ inline void copy_async_commit() {
#if defined(__CUDACC__)
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  simulated::copy_async_commit();
#endif
}
/// Waits until at most the newest kPending groups of this thread are under way.
template <int kPending>
__device__ void copy_async_wait() {
#if defined(__CUDACC__)
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#else
  simulated::copy_async_wait(kPending);
#endif
}

// -- matrix fragments --------------------------------------------------------------------------------------------------------------
// A warp reads 8 × 8 matrices of 16-bit elements from shared memory. Lane l gives the address of row l % 8 of matrix l / 8 (16 bytes,
// aligned). Of each matrix it gets elements (l / 4, 2 (l % 4)) and the next one in the row; of the transposed one, with `transposed`.
namespace detail {
template <int kMatrices>
__device__ void load_matrices(uint32_t (&r)[kMatrices], const void* row, bool transposed) {
#if !defined(__CUDACC__)
  const void* const* rows = reinterpret_cast<const void* const*>(simulated::exchange(kFullMask, &row, sizeof row));
  int lane = lane_index();
  for (int m = 0; m < kMatrices; ++m) {
    auto at = [&](int i, int j) { return uint32_t{static_cast<const uint16_t*>(rows[8 * m + (transposed ? j : i)])[transposed ? i : j]}; };
    r[m] = at(lane / 4, 2 * (lane % 4)) | at(lane / 4, 2 * (lane % 4) + 1) << 16;
  }
  sync_warp();
#else
  (void)r, (void)row, (void)transposed;
#endif
}
}  // namespace detail

__device__ inline void load_matrix_x4(uint32_t (&r)[4], const void* row) {
#if defined(__CUDACC__)
  uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(at)
               : "memory");
#else
  detail::load_matrices(r, row, false);
#endif
}
__device__ inline void load_matrix_x4_transposed(uint32_t (&r)[4], const void* row) {
#if defined(__CUDACC__)
  uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(at)
               : "memory");
#else
  detail::load_matrices(r, row, true);
#endif
}

// -- products on tensor cores --------------------------------------------------------------------------------------------------------
// D += A B for a warp, D 16 × 8 in f32. With g = lane / 4 and t = lane % 4 a lane holds
//   d[0], d[1]: (g, 2t), (g, 2t + 1)     d[2], d[3]: (g + 8, 2t), (g + 8, 2t + 1)
// 16-bit A 16 × 16, pairs along the row:  a[0]: (g, 2t)   a[1]: (g + 8, 2t)   a[2]: (g, 2t + 8)   a[3]: (g + 8, 2t + 8)
// 16-bit B 16 × 8, pairs along the column: b[0]: (2t, g)  b[1]: (2t + 8, g)
// tf32 A 16 × 8: a[0]: (g, t)  a[1]: (g + 8, t)  a[2]: (g, t + 4)  a[3]: (g + 8, t + 4)     B 8 × 8: b[0]: (t, g)  b[1]: (t + 4, g)
namespace detail {
#if !defined(__CUDACC__)
struct Fragments {
  uint32_t a[4], b[2];
};
/// d += Σ_k a(row, k) b(k, column); element(lanes' fragments, row or column, k) reads an operand.
template <int kDepth, typename A, typename B>
void multiply_fragments(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], A&& element_a, B&& element_b) {
  Fragments mine{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  const Fragments* all = reinterpret_cast<const Fragments*>(simulated::exchange(kFullMask, &mine, sizeof mine));
  int g = lane_index() / 4, t = lane_index() % 4;
  for (int i = 0; i < 4; ++i) {
    int row = g + i / 2 * 8, column = 2 * t + i % 2;
    for (int k = 0; k < kDepth; ++k) d[i] += element_a(all, row, k) * element_b(all, k, column);
  }
}
#endif
}  // namespace detail

/// T: bfloat16 or half.
template <typename T>
__device__ void multiply_accumulate(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if defined(__CUDACC__)
  if constexpr (std::is_same_v<T, bfloat16>)
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  auto value = [](uint32_t pair, int k) { return static_cast<float>(k % 2 ? pair_high<T>(pair) : pair_low<T>(pair)); };
  auto of_a = [&](const detail::Fragments* all, int row, int k) { return value(all[row % 8 * 4 + k % 8 / 2].a[row / 8 + k / 8 * 2], k); };
  auto of_b = [&](const detail::Fragments* all, int k, int column) { return value(all[column * 4 + k % 8 / 2].b[k / 8], k); };
  detail::multiply_fragments<16>(d, a, b, of_a, of_b);
#endif
}

}  // namespace plumb::cuda_backend
