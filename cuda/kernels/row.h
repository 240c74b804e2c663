// Rows that a team of threads works through several times: a warp a row where rows are short, a block of 256 where they are long.
//   held      a row stays in registers between the sweeps, so it is read once: up to 1024 elements a warp, 8192 a block (half of that in
//             f64), where rows are multiples of 16 bytes. A thread has 32 elements (16 in f64), loaded 16 bytes at a time before the
//             first is needed, which is enough under way to keep an H100's memory busy with a quarter of its threads resident.
//   streamed  any other row: every sweep reads it again, from L1 or L2 where it fits, 16 bytes at a time between its unaligned ends.
// Sums are kept a thread in order, then joined in a fixed order: results depend on the shape alone.
#pragma once
#include <algorithm>

#include "cuda/kernels/elements.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/warp.h"

namespace plumb::cuda_backend {

inline constexpr int kRowThreads = 256;

/// The threads of one row: `lanes` is 32 or the whole block.
struct RowTeam {
  int lane, lanes;
  int64_t row;
  __device__ explicit RowTeam(int team) {
    bool warp = team == kWarp;
    lanes = team;
    lane = warp ? lane_index() : static_cast<int>(threadIdx.x);
    row = warp ? static_cast<int64_t>(blockIdx.x) * warp_count() + warp_index() : blockIdx.x;
  }
  template <typename T> __device__ T sum(T x) const { return lanes == kWarp ? warp_sum(x) : block_sum(x); }
  /// For x without NaN.
  template <typename T> __device__ T max(T x) const { return lanes == kWarp ? warp_max(x) : block_max(x, x); }
};

/// How a kernel of teams is launched for `rows` rows of n elements, and whether its rows are held.
struct RowPlan {
  bool held;
  int team;
  Grid grid;
};
/// `pointers_aligned`: all operands of the rows can be read in 16-byte accesses.
template <typename S>
RowPlan plan_rows(int64_t rows, int64_t n, bool pointers_aligned) {
  constexpr int64_t kEach = sizeof(compute_t<S>) == 8 ? 16 : 32;
  RowPlan plan;
  plan.team = n <= kWarp * kEach ? kWarp : kRowThreads;
  plan.held = pointers_aligned && n % kPerAccess<S> == 0 && n <= kRowThreads * kEach;
  plan.grid = {dim3(static_cast<unsigned>(pieces(rows, kRowThreads / plan.team))), dim3(kRowThreads)};
  return plan;
}

/// One row of K tensors of one shape, read together. f gets the column of the first of N neighbours, and their values in K arrays of N; N
/// is 1 or the elements of S in 16 bytes.
template <typename S, bool kHeld, int K>
class Row {
 public:
  using C = compute_t<S>;
  static constexpr int V = kPerAccess<S>;
  static constexpr int kPacks = kHeld ? (sizeof(C) == 8 ? 16 : 32) / V : 1;

  /// `to` is what write() will write to, or null.
  __device__ Row(const RowTeam& team, int64_t n, const S* const (&from)[K], const S* to = nullptr) : team_(team), n_(n) {
    for (int k = 0; k < K; ++k) from_[k] = from[k];
    if constexpr (kHeld) {
#pragma unroll
      for (int k = 0; k < K; ++k)
#pragma unroll
        for (int p = 0; p < kPacks; ++p)
          if (int64_t c = column(p); c < n_) read_pack<V>(from_[k] + c, held_[k][p]);
    } else {
      uintptr_t off = reinterpret_cast<uintptr_t>(from[0]) % 16;
      bool alike = to == nullptr || reinterpret_cast<uintptr_t>(to) % 16 == off;
      for (int k = 1; k < K; ++k) alike = alike && reinterpret_cast<uintptr_t>(from[k]) % 16 == off;
      head_ = alike ? static_cast<int64_t>((16 - off) % 16 / sizeof(S)) : n;
      if (head_ > n) head_ = n;
      tail_ = head_ + (n - head_) / V * V;
    }
  }

  /// f(column, arrays…) for the elements of this thread, in order. What it writes into the arrays stays in a held row.
  template <typename F>
  __device__ void each(F&& f) {
    visit([&](int64_t c, auto&... v) { f(c, v...); });
  }
  /// to[column + j] ← out[j] after f(column, out, arrays…).
  template <typename F>
  __device__ void write(S* to, F&& f) {
    visit([&](int64_t c, auto& first, auto&... more) {
      constexpr int N = sizeof(first) / sizeof(C);
      C out[N];
      f(c, out, first, more...);
      write_pack_whole<N>(to + c, out);
    });
  }
  /// w[j] ← parameters[column + j], which are aligned where the row is held.
  template <int N>
  __device__ static void parameters(const C* from, int64_t column, C (&w)[N]) {
    if constexpr (kHeld) {
      read_pack<N>(from + column, w);
    } else {
#pragma unroll
      for (int j = 0; j < N; ++j) w[j] = from[column + j];
    }
  }
  __device__ int64_t column(int p) const { return (static_cast<int64_t>(p) * team_.lanes + team_.lane) * V; }

 private:
  template <typename F>
  __device__ void visit(F&& f) {
    if constexpr (kHeld) {
#pragma unroll
      for (int p = 0; p < kPacks; ++p)
        if (int64_t c = column(p); c < n_) {
          if constexpr (K == 1) f(c, held_[0][p]);
          else f(c, held_[0][p], held_[1][p]);
        }
    } else {
      for (int64_t c = team_.lane; c < head_; c += team_.lanes) read_and_visit<1>(c, f);
#pragma unroll 2
      for (int64_t c = head_ + team_.lane * V; c < tail_; c += team_.lanes * V) read_and_visit<V>(c, f);
      for (int64_t c = tail_ + team_.lane; c < n_; c += team_.lanes) read_and_visit<1>(c, f);
    }
  }
  template <int N, typename F>
  __device__ void read_and_visit(int64_t c, F&& f) {
    C v[K][N];
#pragma unroll
    for (int k = 0; k < K; ++k) read_pack<N>(from_[k] + c, v[k]);
    if constexpr (K == 1) f(c, v[0]);
    else f(c, v[0], v[1]);
  }

  static_assert(K == 1 || K == 2);
  RowTeam team_;
  int64_t n_, head_ = 0, tail_ = 0;
  const S* from_[K];
  C held_[K][kPacks][V];
};

}  // namespace plumb::cuda_backend
