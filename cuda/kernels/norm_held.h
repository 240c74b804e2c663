// Layer and RMS norm of rows that stay in registers: multiples of 16 bytes, up to 8192 elements (4096 in f64), with what surrounds a norm in a
// network in the same pass: the branch that is added before it, and 16-bit types beside f32.
// A block of 32 to 512 threads takes a few rows at a time, a thread V neighbouring columns of each P times (V elements are 16 bytes), so that
// 8 to 32 elements a thread of every operand are under way before the first is needed, and one barrier serves several rows. Backward, as many
// blocks as fit go through the rows with their columns' gradients of weight and bias in registers; a second launch joins the blocks' sums.
// Bytes an element with f32 x, 16-bit branch and y: forward 4 + 2 + 4 + 2, backward 2 + 4 + 4 + 4 + 2. Sums are taken in an order that the shape fixes.
#pragma once
#include <algorithm>

#include "cuda/kernels/elements.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/warp.h"

namespace plumb::cuda_backend {

/// How held rows are shared out: `packs` is P.
struct HeldRows {
  int64_t rows, n;
  int packs, threads;
  template <typename S> static constexpr int kMostPacks = std::min(4, 16 / kPerAccess<S>);
  template <typename S> static bool fit(int64_t n) { return n % kPerAccess<S> == 0 && n <= int64_t{512} * kMostPacks<S> * kPerAccess<S>; }
};
template <typename S>
HeldRows held_rows(int64_t rows, int64_t n) {
  int64_t accesses = n / kPerAccess<S>, packs = 1;
  while (packs < HeldRows::kMostPacks<S> && pieces(accesses, packs) > 256) packs *= 2;
  return {rows, n, static_cast<int>(packs), static_cast<int>(std::max<int64_t>(1, pieces(pieces(accesses, packs), kWarp)) * kWarp)};
}

/// Rows that a block takes at a time, so that a thread holds at most so many elements of an operand.
template <typename S, int P> constexpr int rows_at_once(int elements) { return std::max(1, std::min(4, (sizeof(S) == 8 ? 8 : elements) / (kPerAccess<S> * P))); }
template <typename S, int P> inline constexpr int kForwardRows = rows_at_once<S, P>(sizeof(S) == 2 ? 32 : 16);
template <typename S, int P> inline constexpr int kBackwardRows = rows_at_once<S, P>(8);
/// Threads that a block has at most, and backward, those that a multiprocessor has at a time, which is what registers leave.
template <typename S, int P> inline constexpr int kMostThreads = P == HeldRows::kMostPacks<S> ? 512 : 256;
template <typename S, int P> inline constexpr int kBackwardThreads = P == 1 && sizeof(S) < 8 ? 1024 : 512;

namespace detail {

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
        if (inside(r, p)) write_pack<V>(to + (first + r) * n + column(p), v[r][p]);
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

/// s[k] ← Σ over the block's threads, K sums with one barrier. Calls alternate between the two halves of `parts`, of 16 · K each.
template <int K, typename C>
__device__ void block_sums(C (&s)[K], C* parts) {
#pragma unroll
  for (C& x : s) x = warp_sum(x);
  if (blockDim.x == kWarp) return;
  if (lane_index() == 0)
#pragma unroll
    for (int k = 0; k < K; ++k) parts[warp_index() * K + k] = s[k];
  __syncthreads();
#pragma unroll
  for (C& x : s) x = 0;
  for (int w = 0; w < warp_count(); ++w)
#pragma unroll
    for (int k = 0; k < K; ++k) s[k] += parts[w * K + k];
}

}  // namespace detail

/// Operands of the forward pass. S is what x and the sum are stored as, N = S or a 16-bit type what branch and y may be stored as.
template <typename S>
struct NormForward {
  using C = compute_t<S>;
  const S* x;
  const void* branch;     ///< or null
  bool narrow_branch;     ///< stored as N
  const C *weight, *bias; ///< or null
  bool centred;
  C eps;
  S* sum;                 ///< or null
  void* y;
  bool narrow_y;
  C *means, *rstds;       ///< means may be null
};

template <typename S, typename N, int P>
__global__ void __launch_bounds__(kMostThreads<S, P>) norm_held_rows(NormForward<S> t, int64_t rows, int64_t n) {
  using C = compute_t<S>;
  constexpr int R = kForwardRows<S, P>, V = kPerAccess<S>;
  __shared__ C parts[2][16 * R];
  detail::RowBlock<S, P, R> block{static_cast<int64_t>(blockIdx.x) * R, rows, n};
  C v[R][P][V];
  block.read(t.x, v);
  if (t.branch) {
    C b[R][P][V];
    block.template read_either<N>(t.branch, t.narrow_branch, b);
#pragma unroll
    for (int r = 0; r < R; ++r)
#pragma unroll
      for (int p = 0; p < P; ++p)
#pragma unroll
        for (int j = 0; j < V; ++j) v[r][p][j] = load(static_cast<S>(v[r][p][j] + b[r][p][j]));  // as it is stored
    block.write(t.sum, v);
  }
  C mean[R] = {}, rstd[R] = {};
  if (t.centred) {
#pragma unroll
    for (int r = 0; r < R; ++r)
#pragma unroll
      for (int p = 0; p < P; ++p)
#pragma unroll
        for (int j = 0; j < V; ++j) mean[r] += v[r][p][j];
    detail::block_sums(mean, parts[0]);
#pragma unroll
    for (C& m : mean) m /= static_cast<C>(n);
  }
#pragma unroll
  for (int r = 0; r < R; ++r)
#pragma unroll
    for (int p = 0; p < P; ++p)
      if (block.column(p) < n)
#pragma unroll
        for (int j = 0; j < V; ++j) rstd[r] += (v[r][p][j] - mean[r]) * (v[r][p][j] - mean[r]);
  detail::block_sums(rstd, parts[1]);
#pragma unroll
  for (int r = 0; r < R; ++r) {
    rstd[r] = C(1) / std::sqrt(rstd[r] / static_cast<C>(n) + t.eps);
    if (threadIdx.x != 0 || block.first + r >= rows) continue;
    if (t.means) t.means[block.first + r] = mean[r];
    t.rstds[block.first + r] = rstd[r];
  }
  C w[P][V], b[P][V];
  block.parameters(t.weight, C(1), w);
  block.parameters(t.bias, C(0), b);
#pragma unroll
  for (int r = 0; r < R; ++r)
#pragma unroll
    for (int p = 0; p < P; ++p)
#pragma unroll
      for (int j = 0; j < V; ++j) v[r][p][j] = std::fma((v[r][p][j] - mean[r]) * rstd[r], w[p][j], b[p][j]);
  if constexpr (!std::is_same_v<S, N>)
    if (t.narrow_y) return block.write(static_cast<N*>(t.y), v);
  block.write(static_cast<S*>(t.y), v);
}

/// Operands of the backward pass: the gradients of y (stored as N or S) and of the sum, and what the forward pass left.
template <typename S, typename N>
struct NormBackward {
  using C = compute_t<S>;
  const void* dy;
  bool narrow_dy;
  const S *dsum, *sum;             ///< dsum may be null
  const C *means, *rstds, *weight; ///< means and weight may be null
  S* dx;                           ///< or null
  N* dbranch;                      ///< or null
  C* partial;                      ///< or null; else [blocks, 2, n]: Σ dy x̂ and Σ dy over a block's rows
};

// x̂ = (x − mean) rstd, g = dy · weight:   dx = rstd (g − [centred] mean(g) − x̂ mean(g x̂)) + dsum
template <typename S, typename N, int P>
__global__ void __launch_bounds__(kMostThreads<S, P>, kBackwardThreads<S, P> / kMostThreads<S, P>) norm_backward_held_rows(NormBackward<S, N> t, int64_t rows, int64_t n) {
  using C = compute_t<S>;
  constexpr int R = kBackwardRows<S, P>, V = kPerAccess<S>;
  __shared__ C parts[2][16 * 2 * R];
  detail::RowBlock<S, P, R> block{0, rows, n};
  C w[P][V], dw[P][V] = {}, db[P][V] = {};
  block.parameters(t.weight, C(1), w);
  int turn = 0;
  for (block.first = static_cast<int64_t>(blockIdx.x) * R; block.first < rows; block.first += static_cast<int64_t>(gridDim.x) * R, turn ^= 1) {
    C g[R][P][V], x[R][P][V], rest[R][P][V];
    block.template read_either<N>(t.dy, t.narrow_dy, g);
    block.read(t.sum, x);
    if (t.dsum) block.read(t.dsum, rest);
    C rstd[R], sums[2 * R] = {};
#pragma unroll
    for (int r = 0; r < R; ++r) {
      bool inside = block.first + r < rows;
      rstd[r] = inside ? t.rstds[block.first + r] : C(0);
      C mean = inside && t.means ? t.means[block.first + r] : C(0);
#pragma unroll
      for (int p = 0; p < P; ++p)
#pragma unroll
        for (int j = 0; j < V; ++j) {
          C& e = g[r][p][j];
          x[r][p][j] -= mean;
          dw[p][j] += e * (x[r][p][j] * rstd[r]);
          db[p][j] += e;
          e *= w[p][j];
          sums[r] += e;
          sums[R + r] += e * x[r][p][j];
        }
    }
    if (!t.dx && !t.dbranch) continue;
    detail::block_sums(sums, parts[turn]);
#pragma unroll
    for (int r = 0; r < R; ++r) {
      C shift = t.means ? rstd[r] * sums[r] / static_cast<C>(n) : C(0), slope = rstd[r] * rstd[r] * rstd[r] * sums[R + r] / static_cast<C>(n);
#pragma unroll
      for (int p = 0; p < P; ++p)
#pragma unroll
        for (int j = 0; j < V; ++j) {
          C d = g[r][p][j] * rstd[r] - shift - x[r][p][j] * slope;
          g[r][p][j] = t.dsum ? d + rest[r][p][j] : d;
        }
    }
    if (t.dx) block.write(t.dx, g);
    if (t.dbranch) block.write(t.dbranch, g);
  }
  if (!t.partial) return;
#pragma unroll
  for (int p = 0; p < P; ++p) {
    if (block.column(p) >= n) continue;
    write_pack<V>(t.partial + static_cast<int64_t>(blockIdx.x) * 2 * n + block.column(p), dw[p]);
    write_pack<V>(t.partial + (static_cast<int64_t>(blockIdx.x) * 2 + 1) * n + block.column(p), db[p]);
  }
}

inline constexpr int kJoinColumns = 32, kJoinRows = 32;

// dweight, dbias ← the sums of the blocks [blocks, 2, n] as one. 32 columns a block; each of its 32 warps adds up every 32nd row, then the
// first adds up the warps.
template <typename C>
__global__ void __launch_bounds__(kJoinColumns * kJoinRows) join_parameter_gradients(const C* partial, int64_t blocks, int64_t n, C* dweight, C* dbias) {
  __shared__ C parts[kJoinRows][kJoinColumns];
  int64_t column = static_cast<int64_t>(blockIdx.x) * kJoinColumns + lane_index();
  C total = 0;
  if (column < 2 * n)
#pragma unroll 8
    for (int64_t b = warp_index(); b < blocks; b += kJoinRows) total += partial[b * 2 * n + column];
  parts[warp_index()][lane_index()] = total;
  __syncthreads();
  if (warp_index() != 0 || column >= 2 * n) return;
  total = 0;
#pragma unroll
  for (int w = 0; w < kJoinRows; ++w) total += parts[w][lane_index()];
  if (column < n && dweight) dweight[column] = total;
  if (column >= n && dbias) dbias[column - n] = total;
}

namespace detail {

/// run<P>() for the plan's P.
template <typename S, typename Run>
void with_packs(int packs, Run&& run) {
  if (packs == 1) return run.template operator()<1>();
  if constexpr (HeldRows::kMostPacks<S> > 2)
    if (packs == 4) return run.template operator()<4>();
  run.template operator()<2>();
}

}  // namespace detail

template <typename S, typename N>
void launch_norm_held(const HeldRows& plan, const NormForward<S>& operands) {
  detail::with_packs<S>(plan.packs, [&]<int P>() {
    Grid grid{dim3(static_cast<unsigned>(pieces(plan.rows, kForwardRows<S, P>))), dim3(static_cast<unsigned>(plan.threads))};
    launch(norm_held_rows<S, N, P>, grid, operands, plan.rows, plan.n);
  });
}

/// How many blocks the backward pass has: as many as an H100's 132 multiprocessors hold at a time, up to 8 each.
template <typename S>
int64_t norm_backward_blocks(const HeldRows& plan) {
  int64_t blocks = 0;
  detail::with_packs<S>(plan.packs, [&]<int P>() { blocks = std::min<int64_t>(pieces(plan.rows, kBackwardRows<S, P>), 132 * std::min(8, kBackwardThreads<S, P> / plan.threads)); });
  return blocks;
}
template <typename S, typename N>
void launch_norm_backward_held(const HeldRows& plan, const NormBackward<S, N>& operands) {
  Grid grid{dim3(static_cast<unsigned>(norm_backward_blocks<S>(plan))), dim3(static_cast<unsigned>(plan.threads))};
  detail::with_packs<S>(plan.packs, [&]<int P>() { launch(norm_backward_held_rows<S, N, P>, grid, operands, plan.rows, plan.n); });
}
template <typename C>
void launch_join_parameter_gradients(const C* partial, int64_t blocks, int64_t n, C* dweight, C* dbias) {
  Grid grid{dim3(static_cast<unsigned>(pieces(2 * n, kJoinColumns))), dim3(kJoinColumns * kJoinRows)};
  launch(join_parameter_gradients<C>, grid, partial, blocks, n, dweight, dbias);
}

}  // namespace plumb::cuda_backend
