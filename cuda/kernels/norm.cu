// Layer and RMS norm on the GPU: a row belongs to a warp or a block (row.h).
// Bytes: forward reads x and writes y once, 2 · sizeof(T) an element; backward reads dy and x and writes dx once, 3 · sizeof(T), and while
// the rows are in registers every thread adds up its columns' share of the gradients of weight and bias. The grid is 528 blocks at most,
// 4 for each of an H100's multiprocessors, which leave 528 · 2 · n partial sums, a few percent of the rest from 8192 rows on; a second
// launch joins them. Registers: forward 68 to 80, three blocks of 256 threads a multiprocessor; backward 173 (16-bit types) to 208, one block, whose
// 8 warps have 24 KB of loads under way at n = 768 in bf16; no spills. Streamed rows (long, or no multiple of 16 bytes) read x three times
// and their parameter gradients once more, from L2 where it fits. Bound: memory.
#include <cmath>

#include "cuda/kernels/reduce_rules.h"
#include "cuda/kernels/row.h"
#include "ops/kernels/norm.h"

namespace plumb::cuda_backend {
namespace {

template <typename C>
__device__ C scaled(C centred, C rstd, C weight, C bias, bool has_weight, bool has_bias) {
  if (has_weight && has_bias) return std::fma(centred * rstd, weight, bias);
  C y = centred * rstd;
  if (has_weight) y *= weight;
  return has_bias ? y + bias : y;
}

template <typename S, bool kHeld>
__global__ void __launch_bounds__(kRowThreads) row_norm_rows(const S* x, int64_t rows, int64_t n, const compute_t<S>* weight, const compute_t<S>* bias, bool centred,
                                                             compute_t<S> eps, S* y, compute_t<S>* means, compute_t<S>* rstds, int lanes) {
  using C = compute_t<S>;
  RowTeam team(lanes);
  if (team.row >= rows) return;
  S* to = y + team.row * n;
  Row<S, kHeld, 1> row(team, n, {x + team.row * n}, to);
  C mean = 0, squares = 0;
  if (centred) {
    row.each([&](int64_t, auto& v) {
      for (C e : v) mean += e;
    });
    mean = team.sum(mean) / static_cast<C>(n);
  }
  row.each([&](int64_t, auto& v) {
    for (C e : v) squares += (e - mean) * (e - mean);
  });
  C rstd = C(1) / std::sqrt(team.sum(squares) / static_cast<C>(n) + eps);
  if (team.lane == 0) {
    if (means) means[team.row] = mean;
    rstds[team.row] = rstd;
  }
  row.write(to, [&](int64_t column, auto& out, auto& v) {
    constexpr int N = sizeof(v) / sizeof(C);
    C w[N] = {}, b[N] = {};
    if (weight) row.parameters(weight, column, w);
    if (bias) row.parameters(bias, column, b);
#pragma unroll
    for (int j = 0; j < N; ++j) out[j] = scaled(v[j] - mean, rstd, w[j], b[j], weight != nullptr, bias != nullptr);
  });
}

template <typename C>
struct NormInput {
  const C *means, *rstds, *weight;
  __device__ C mean(int64_t row) const { return means ? means[row] : C(0); }
};

// x̂ = (x − mean) rstd, g = dy · weight:   dx = rstd (g − [centred] mean(g) − x̂ mean(g x̂))
template <typename S, bool kHeld>
__device__ void write_dx(const RowTeam& team, Row<S, kHeld, 2>& row, int64_t n, const NormInput<compute_t<S>>& norm, S* to) {
  using C = compute_t<S>;
  C mean = norm.mean(team.row), rstd = norm.rstds[team.row], sum_g = 0, sum_gx = 0;
  row.each([&](int64_t column, auto& g, auto& x) {
    constexpr int N = sizeof(g) / sizeof(C);
    C w[N] = {};
    if (norm.weight) row.parameters(norm.weight, column, w);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      C e = norm.weight ? g[j] * w[j] : g[j];
      sum_g += e;
      sum_gx += e * (x[j] - mean);
    }
  });
  sum_g = norm.means ? team.sum(sum_g) : C(0);
  sum_gx = team.sum(sum_gx);
  C shift = rstd * sum_g / static_cast<C>(n), slope = rstd * rstd * rstd * sum_gx / static_cast<C>(n);
  row.write(to, [&](int64_t column, auto& out, auto& g, auto& x) {
    constexpr int N = sizeof(g) / sizeof(C);
    C w[N] = {};
    if (norm.weight) row.parameters(norm.weight, column, w);
#pragma unroll
    for (int j = 0; j < N; ++j) out[j] = (norm.weight ? g[j] * w[j] : g[j]) * rstd - shift - (x[j] - mean) * slope;
  });
}

template <typename S>
__global__ void __launch_bounds__(kRowThreads) row_norm_dx_streamed(const S* dy, const S* x, int64_t rows, int64_t n, NormInput<compute_t<S>> norm, S* dx, int lanes) {
  RowTeam team(lanes);
  if (team.row >= rows) return;
  Row<S, false, 2> row(team, n, {dy + team.row * n, x + team.row * n}, dx + team.row * n);
  write_dx(team, row, n, norm, dx + team.row * n);
}

// Rows a grid apart, each held; then partial[block] ← (Σ dy x̂, Σ dy) [2, n] over the block's rows, its warps in order.
template <typename S>
__global__ void __launch_bounds__(kRowThreads) row_norm_backward_held(const S* dy, const S* x, int64_t rows, int64_t n, NormInput<compute_t<S>> norm, S* dx, compute_t<S>* partial,
                                                                      int lanes) {
  using C = compute_t<S>;
  using HeldRow = Row<S, true, 2>;
  constexpr int P = HeldRow::kPacks, V = HeldRow::V;
  C dw[P][V] = {}, db[P][V] = {};
  RowTeam team(lanes);
  int64_t step = static_cast<int64_t>(gridDim.x) * (blockDim.x / static_cast<unsigned>(lanes));
  for (; team.row < rows; team.row += step) {
    HeldRow row(team, n, {dy + team.row * n, x + team.row * n});
    if (partial) {
      C mean = norm.mean(team.row), rstd = norm.rstds[team.row];
      row.each_pack([&](int pack, auto& g, auto& v) {
#pragma unroll
        for (int j = 0; j < V; ++j) {
          dw[pack][j] += g[j] * ((v[j] - mean) * rstd);
          db[pack][j] += g[j];
        }
      });
    }
    if (dx) write_dx(team, row, n, norm, dx + team.row * n);
  }
  if (!partial) return;
  C* sums = dynamic_shared<C>();  // [2, n]
  int teams = static_cast<int>(blockDim.x) / lanes, mine = teams == 1 ? 0 : warp_index();
  for (int t = 0; t < teams; ++t) {
    if (t == mine) {
#pragma unroll
      for (int p = 0; p < P; ++p) {
        int64_t c = (static_cast<int64_t>(p) * lanes + team.lane) * V;
        if (c >= n) continue;
#pragma unroll
        for (int j = 0; j < V; ++j) {
          sums[c + j] = t == 0 ? dw[p][j] : sums[c + j] + dw[p][j];
          sums[n + c + j] = t == 0 ? db[p][j] : sums[n + c + j] + db[p][j];
        }
      }
    }
    __syncthreads();
  }
  for (int64_t i = threadIdx.x; i < 2 * n; i += blockDim.x) partial[blockIdx.x * 2 * n + i] = sums[i];
}

// Σ over rows of dy x̂ and of dy, column by column.
template <typename S>
struct ParameterGradients {
  using C = compute_t<S>;
  struct Value {
    C weight, bias;
  };
  static constexpr int kPack = 1;
  const S *dy, *x;
  NormInput<C> norm;
  C *dweight, *dbias;

  bool aligned() const { return false; }
  __device__ Value start() const { return {0, 0}; }
  __device__ Value join(const Value& a, const Value& b) const { return {a.weight + b.weight, a.bias + b.bias}; }
  __device__ Value element(int64_t at, int64_t, int64_t row) const {
    C g = load(dy[at]);
    return {g * ((load(x[at]) - norm.mean(row)) * norm.rstds[row]), g};
  }
  __device__ void store(int64_t column, const Value& v) const {
    if (dweight) dweight[column] = v.weight;
    if (dbias) dbias[column] = v.bias;
  }
};

// The partial sums of blocks [blocks, 2, n] as one: columns below n belong to dweight, the others to dbias.
template <typename C>
struct JoinBlocks {
  using Value = C;
  static constexpr int kPack = 1;
  const C* partial;
  int64_t n;
  C *dweight, *dbias;

  bool aligned() const { return false; }
  __device__ C start() const { return 0; }
  __device__ C join(C a, C b) const { return a + b; }
  __device__ C element(int64_t at, int64_t, int64_t) const { return partial[at]; }
  __device__ void store(int64_t column, C v) const {
    if (column < n && dweight) dweight[column] = v;
    if (column >= n && dbias) dbias[column - n] = v;
  }
};

void row_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, bool centred, double eps, Tensor& y, Tensor& mean, Tensor& rstd) {
  int64_t rows = rstd.numel(), n = rows ? x.numel() / rows : 0;
  if (rows == 0) return;
  visit_floating("norm", x.dtype(), [&]<typename S>() {
    using C = compute_t<S>;
    const C *w = data_or_null<C>(weight), *b = data_or_null<C>(bias);
    const S* from = x.data<S>();
    S* to = y.data<S>();
    RowPlan plan = plan_rows<S>(rows, n, aligned16(from) && aligned16(to) && aligned16(w) && aligned16(b));
    launch(plan.held ? row_norm_rows<S, true> : row_norm_rows<S, false>, plan.grid, from, rows, n, w, b, centred, static_cast<C>(eps), to, data_or_null<C>(mean), rstd.data<C>(),
           plan.team);
  });
}

constexpr int64_t kBackwardBlocks = 528;

template <typename S>
void row_norm_backward_typed(const Tensor& gradient, const Tensor& input, const Tensor& mean, const Tensor& rstd, const Tensor& weight, Tensor& dinput, Tensor& dweight,
                             Tensor& dbias) {
  using C = compute_t<S>;
  bool parameters = dweight.defined() || dbias.defined();
  int64_t rows = rstd.numel(), n = rows ? input.numel() / rows : parameters ? (dweight.defined() ? dweight : dbias).numel() : 0;
  const S *dy = gradient.data<S>(), *x = input.data<S>();
  S* dx = data_or_null<S>(dinput);
  NormInput<C> norm{data_or_null<C>(mean), rstd.data<C>(), data_or_null<C>(weight)};
  C *dw = data_or_null<C>(dweight), *db = data_or_null<C>(dbias);
  RowPlan plan = plan_rows<S>(rows, n, aligned16(dy) && aligned16(x) && aligned16(dx) && aligned16(norm.weight));
  ReduceAxes columns, over;
  if (!plan.held || rows == 0) {
    if (dx && rows > 0 && n > 0) launch(row_norm_dx_streamed<S>, plan.grid, dy, x, rows, n, norm, dx, plan.team);
    if (!parameters) return;
    columns.add({n, 1, 1, 0});
    over.add({rows, n, 0, 0});
    return reduce_axes(ParameterGradients<S>{dy, x, norm, dw, db}, columns, over);
  }
  plan.grid.blocks.x = static_cast<unsigned>(std::min<int64_t>(plan.grid.blocks.x, kBackwardBlocks));
  if (parameters) plan.grid.shared_bytes = static_cast<size_t>(2 * n) * sizeof(C);
  int64_t blocks = plan.grid.blocks.x;
  Scratch<C> partial(parameters ? blocks * 2 * n : 0);
  launch(row_norm_backward_held<S>, plan.grid, dy, x, rows, n, norm, dx, partial.data(), plan.team);
  if (!parameters) return;
  columns.add({2 * n, 1, 1, 0});
  over.add({blocks, 2 * n, 0, 0});
  reduce_axes(JoinBlocks<C>{partial.data(), n, dw, db}, columns, over);
}

void row_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& mean, const Tensor& rstd, const Tensor& weight, Tensor& dx, Tensor& dweight, Tensor& dbias) {
  visit_floating("norm", x.dtype(), [&]<typename S>() { row_norm_backward_typed<S>(dy, x, mean, rstd, weight, dx, dweight, dbias); });
}

}  // namespace

void register_norm() {
  kernel::row_norm.set(DeviceType::cuda, row_norm);
  kernel::row_norm_backward.set(DeviceType::cuda, row_norm_backward);
}

}  // namespace plumb::cuda_backend
