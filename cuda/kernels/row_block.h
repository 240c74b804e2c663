// Rows that stay in registers between the sweeps over them: multiples of 16 bytes, up to 8192 elements (4096 in f64).
// A block of 32 to 512 threads takes a few rows at a time, a thread V neighbouring columns of each P times (V elements are 16 bytes), so
// that 8 to 32 elements a thread of every operand are under way before the first is needed, and one barrier serves several rows. Kernels
// that hold one operand give rows of up to 2 KiB to a warp each, which needs no barrier: in a probe on an H100, 32,768 rows of 1024 bf16
// took layer norm 51 µs where blocks of four warps took 67, and softmax 49 where they took 73.
#pragma once
#include <algorithm>

#include "cuda/kernels/elements.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/warp.h"

namespace plumb::cuda_backend {

/// How held rows are shared out: `packs` is P. A block is `teams` times `threads` threads, teams along y, each with rows of its own; only
/// warps have others beside them.
struct HeldRows {
  int64_t rows, n;
  int packs, threads, teams = 1;
  template <typename S> static constexpr int kMostPacks = std::min(4, 16 / kPerAccess<S>);
  Grid grid(int64_t rows_a_team) const {
    return {dim3(static_cast<unsigned>(pieces(rows, rows_a_team * teams))),
            dim3(static_cast<unsigned>(threads), static_cast<unsigned>(teams))};
  }
  /// Whether rows of n elements can be held.
  template <typename S> static bool fit(int64_t n) { return n % kPerAccess<S> == 0 && n <= int64_t{512} * kMostPacks<S> * kPerAccess<S>; }
};
inline constexpr int kWarpPacks = 4;
template <typename S>
HeldRows held_rows(int64_t rows, int64_t n) {
  int64_t accesses = n / kPerAccess<S>, packs = 1;
  while (packs < HeldRows::kMostPacks<S> && pieces(accesses, packs) > 256) packs *= 2;
  return {rows, n, static_cast<int>(packs), static_cast<int>(std::max<int64_t>(1, pieces(pieces(accesses, packs), kWarp)) * kWarp)};
}

/// The same for a kernel that holds one operand: a warp a row where its 32 lanes can hold it in 4 packs each.
template <typename S>
HeldRows held_rows_by_warp(int64_t rows, int64_t n) {
  for (int packs : {1, 2, kWarpPacks})
    if (n / kPerAccess<S> <= packs * kWarp) return {rows, n, packs, kWarp, 4};
  return held_rows<S>(rows, n);
}
/// Inside a kernel: the first row of this team, which takes so many.
__device__ inline int64_t first_row(int rows_a_team) { return (static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y) * rows_a_team; }

/// Rows that a team takes at a time, so that a thread holds at most so many elements of an operand.
template <typename S, int P>
constexpr int rows_at_once(int elements) {
  return std::max(1, std::min(4, (sizeof(S) == 8 ? 8 : elements) / (kPerAccess<S> * P)));
}
template <typename S, int P> inline constexpr int kForwardRows = rows_at_once<S, P>(sizeof(S) == 2 ? 32 : 16);
/// Threads that a block has at most.
template <typename S, int P> inline constexpr int kMostThreads = P == HeldRows::kMostPacks<S> ? 512 : 256;

/// The columns of one thread in R rows.
template <typename S, int P, int R>
struct RowBlock {
  using C = compute_t<S>;
  static constexpr int V = kPerAccess<S>;
  int64_t first, rows, n;

  __device__ int64_t column(int p) const { return (static_cast<int64_t>(p) * blockDim.x + threadIdx.x) * V; }
  __device__ bool inside(int r, int p) const { return first + r < rows && column(p) < n; }

  /// v ← the rows of a matrix of T; 0 outside.
  template <typename T>
  __device__ void read(const T* from, C (&v)[R][P][V]) const {
#pragma unroll
    for (int r = 0; r < R; ++r)
#pragma unroll
      for (int p = 0; p < P; ++p) {
        if (inside(r, p)) {
          read_pack<V>(from + (first + r) * n + column(p), v[r][p]);
        } else {
#pragma unroll
          for (int j = 0; j < V; ++j) v[r][p][j] = 0;
        }
      }
  }
  /// read() of a matrix of S, or of N.
  template <typename N>
  __device__ void read_either(const void* from, bool narrow, C (&v)[R][P][V]) const {
    if constexpr (!std::is_same_v<S, N>)
      if (narrow) return read(static_cast<const N*>(from), v);
    read(static_cast<const S*>(from), v);
  }
  template <typename T>
  __device__ void write(T* to, const C (&v)[R][P][V]) const {
#pragma unroll
    for (int r = 0; r < R; ++r)
#pragma unroll
      for (int p = 0; p < P; ++p)
        if (inside(r, p)) write_pack_whole<V>(to + (first + r) * n + column(p), v[r][p]);
  }
  /// The same columns of a vector; `otherwise` where there is none.
  __device__ void parameters(const C* from, C otherwise, C (&v)[P][V]) const {
#pragma unroll
    for (int p = 0; p < P; ++p) {
      if (from && column(p) < n) {
        read_pack<V>(from + column(p), v[p]);
      } else {
#pragma unroll
        for (int j = 0; j < V; ++j) v[p][j] = otherwise;
      }
    }
  }
};

/// s[k] ← s[k] of the block's threads joined by `op`, K of them with one barrier. `parts` has 16 · K places, which the next call but one
/// may have again.
template <int K, typename C, typename Op>
__device__ void join_block(C (&s)[K], C* parts, Op op) {
#pragma unroll
  for (C& x : s) x = warp_reduce(x, op);
  if (blockDim.x == kWarp) return;
  if (lane_index() == 0)
#pragma unroll
    for (int k = 0; k < K; ++k) parts[warp_index() * K + k] = s[k];
  __syncthreads();
#pragma unroll
  for (int k = 0; k < K; ++k) s[k] = parts[k];
  for (int w = 1; w < warp_count(); ++w)
#pragma unroll
    for (int k = 0; k < K; ++k) s[k] = op(s[k], parts[w * K + k]);
}

/// run<P>() for the plan's P, of which kMost is the largest.
template <typename S, int kMost = HeldRows::kMostPacks<S>, typename Run>
void with_packs(int packs, Run&& run) {
  if (packs == 1) return run.template operator()<1>();
  if constexpr (kMost > 2)
    if (packs == 4) return run.template operator()<4>();
  run.template operator()<2>();
}

}  // namespace plumb::cuda_backend
