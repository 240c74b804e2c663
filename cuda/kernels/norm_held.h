// Layer and RMS norm of rows that stay in registers (row_block.h), with what surrounds a norm in a network in the same pass: the branch
// that is added before it, and 16-bit types beside f32. Backward, as many blocks as fit go through the rows with their columns' gradients
// of weight and bias in registers; a second launch joins the blocks' sums.
// Bytes an element with f32 x, 16-bit branch and y: forward 4 + 2 + 4 + 2, backward 2 + 4 + 4 + 4 + 2. Sums are taken in an order that the
// shape fixes.
#pragma once
#include <cmath>

#include "cuda/kernels/row_block.h"

namespace plumb::cuda_backend {

/// Rows that a block takes at a time in the backward pass, and threads that a multiprocessor has at a time, which is what registers leave.
template <typename S, int P> inline constexpr int kBackwardRows = rows_at_once<S, P>(8);
template <typename S, int P> inline constexpr int kBackwardThreads = P == 1 && sizeof(S) < 8 ? 1024 : 512;

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
  RowBlock<S, P, R> block{first_row(R), rows, n};
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
    join_block(mean, parts[0], Plus());
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
  join_block(rstd, parts[1], Plus());
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
__global__ void __launch_bounds__(kMostThreads<S, P>, kBackwardThreads<S, P> / kMostThreads<S, P>)
    norm_backward_held_rows(NormBackward<S, N> t, int64_t rows, int64_t n) {
  using C = compute_t<S>;
  constexpr int R = kBackwardRows<S, P>, V = kPerAccess<S>;
  __shared__ C parts[2][16 * 2 * R];
  RowBlock<S, P, R> block{0, rows, n};
  C w[P][V], dw[P][V] = {}, db[P][V] = {};
  block.parameters(t.weight, C(1), w);
  int turn = 0;
  for (block.first = static_cast<int64_t>(blockIdx.x) * R; block.first < rows;
       block.first += static_cast<int64_t>(gridDim.x) * R, turn ^= 1) {
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
    join_block(sums, parts[turn], Plus());
#pragma unroll
    for (int r = 0; r < R; ++r) {
      C shift = t.means ? rstd[r] * sums[r] / static_cast<C>(n) : C(0),
        slope = rstd[r] * rstd[r] * rstd[r] * sums[R + r] / static_cast<C>(n);
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
    write_pack_whole<V>(t.partial + static_cast<int64_t>(blockIdx.x) * 2 * n + block.column(p), dw[p]);
    write_pack_whole<V>(t.partial + (static_cast<int64_t>(blockIdx.x) * 2 + 1) * n + block.column(p), db[p]);
  }
}

inline constexpr int kJoinColumns = 32, kJoinRows = 32;

// dweight, dbias ← the sums of the blocks [blocks, 2, n] as one. 32 columns a block; each of its 32 warps adds up every 32nd row, then the
// first adds up the warps.
template <typename C>
__global__ void __launch_bounds__(kJoinColumns* kJoinRows)
    join_parameter_gradients(const C* partial, int64_t blocks, int64_t n, C* dweight, C* dbias) {
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

template <typename S, typename N>
void launch_norm_held(const HeldRows& plan, const NormForward<S>& operands) {
  with_packs<S, kWarpPacks>(plan.packs, [&]<int P>() {
    launch(norm_held_rows<S, N, P>, plan.grid(kForwardRows<S, P>), operands, plan.rows, plan.n);
  });
}

/// How many blocks the backward pass has: as many as an H100's 132 multiprocessors hold at a time, up to 8 each.
template <typename S>
int64_t norm_backward_blocks(const HeldRows& plan) {
  int64_t blocks = 0;
  with_packs<S>(plan.packs, [&]<int P>() {
    blocks = std::min<int64_t>(pieces(plan.rows, kBackwardRows<S, P>), 132 * std::min(8, kBackwardThreads<S, P> / plan.threads));
  });
  return blocks;
}
template <typename S, typename N>
void launch_norm_backward_held(const HeldRows& plan, const NormBackward<S, N>& operands) {
  Grid grid{dim3(static_cast<unsigned>(norm_backward_blocks<S>(plan))), dim3(static_cast<unsigned>(plan.threads))};
  with_packs<S>(plan.packs, [&]<int P>() { launch(norm_backward_held_rows<S, N, P>, grid, operands, plan.rows, plan.n); });
}
template <typename C>
void launch_join_parameter_gradients(const C* partial, int64_t blocks, int64_t n, C* dweight, C* dbias) {
  Grid grid{dim3(static_cast<unsigned>(pieces(2 * n, kJoinColumns))), dim3(kJoinColumns * kJoinRows)};
  launch(join_parameter_gradients<C>, grid, partial, blocks, n, dweight, dbias);
}

}  // namespace plumb::cuda_backend
