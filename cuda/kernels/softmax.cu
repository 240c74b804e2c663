// Softmax on the GPU. A dense row that registers hold shares a block with a few others (row_block.h), any other belongs to a warp or a
// block (row.h); rows across memory are taken 32 side by side.
// Bytes: a held row is read once and written once, 2 · sizeof(T) an element (backward 3); a streamed one or a column is read three times
// (backward twice) and written once. Bound: memory; an exponential is about 16 instructions (2 in 16-bit types), and a held row computes it
// once an element.
#include "ops/kernels/softmax.h"

#include <limits>

#include "cuda/kernels/narrow_functions.h"
#include "cuda/kernels/row.h"
#include "cuda/kernels/row_block.h"
#include "ops/special_functions.h"

namespace plumb::cuda_backend {
namespace {

template <typename T> constexpr T kInfinity = std::numeric_limits<T>::infinity();

// In a row whose maximum is not finite: all −∞ gives zeros (−∞ for the logarithm), +∞ share the whole probability, NaN stays.
template <typename C>
__device__ C degenerate(C x, C top, C at_top, bool logarithm) {
  C p = x == kInfinity<C> && top > 0 ? C(1) / at_top : C(0);
  return x != x ? x : logarithm ? (p > 0 ? special::log(p) : -kInfinity<C>) : p;
}
template <typename C>
__device__ bool is_finite(C x) { return x > -kInfinity<C> && x < kInfinity<C>; }

// Held rows, R at a time.
template <typename S, int P>
__global__ void __launch_bounds__(kMostThreads<S, P>)
    softmax_held(const S* x, int64_t rows, int64_t n, compute_t<S> scale, bool logarithm, S* y) {
  using C = compute_t<S>;
  constexpr int R = kForwardRows<S, P>, V = kPerAccess<S>;
  __shared__ C parts[2][16 * R];
  RowBlock<S, P, R> block{first_row(R), rows, n};
  C v[R][P][V], top[R], total[R] = {};
  block.read(x, v);
#pragma unroll
  for (int r = 0; r < R; ++r) {
    top[r] = -kInfinity<C>;
#pragma unroll
    for (int p = 0; p < P; ++p)
      if (block.inside(r, p))
        for (C e : v[r][p]) top[r] = e > top[r] ? e : top[r];  // NaN left out
  }
  join_block(top, parts[0], Larger());
#pragma unroll
  for (int r = 0; r < R; ++r) {
    bool finite = is_finite(top[r]);
#pragma unroll
    for (int p = 0; p < P; ++p)
      if (block.inside(r, p))
#pragma unroll
        for (C& e : v[r][p]) {
          C shifted = (e - top[r]) * scale, power = exp_for<S>(shifted);
          total[r] += finite ? power : e == kInfinity<C> ? C(1) : C(0);
          if (finite) e = logarithm ? shifted : power;
        }
  }
  join_block(total, parts[1], Plus());
#pragma unroll
  for (int r = 0; r < R; ++r) {
    bool finite = is_finite(top[r]);
    C by = logarithm ? special::log(total[r]) : C(1) / total[r];
#pragma unroll
    for (int p = 0; p < P; ++p)
#pragma unroll
      for (C& e : v[r][p]) e = !finite ? degenerate(e, top[r], total[r], logarithm) : logarithm ? e - by : e * by;
  }
  block.write(y, v);
}

template <typename S, int P>
__global__ void __launch_bounds__(kMostThreads<S, P>)
    softmax_backward_held(const S* dy, const S* y, int64_t rows, int64_t n, compute_t<S> scale, bool logarithm, S* dx) {
  using C = compute_t<S>;
  constexpr int R = rows_at_once<S, P>(16), V = kPerAccess<S>;
  __shared__ C parts[16 * R];
  RowBlock<S, P, R> block{static_cast<int64_t>(blockIdx.x) * R, rows, n};
  C g[R][P][V], v[R][P][V], inner[R] = {};
  block.read(dy, g);
  block.read(y, v);
#pragma unroll
  for (int r = 0; r < R; ++r)
#pragma unroll
    for (int p = 0; p < P; ++p)
#pragma unroll
      for (int j = 0; j < V; ++j) inner[r] += logarithm ? g[r][p][j] : g[r][p][j] * v[r][p][j];
  join_block(inner, parts, Plus());
#pragma unroll
  for (int r = 0; r < R; ++r)
#pragma unroll
    for (int p = 0; p < P; ++p)
#pragma unroll
      for (int j = 0; j < V; ++j)
        g[r][p][j] = logarithm ? scale * (g[r][p][j] - exp_for<S>(v[r][p][j]) * inner[r]) : scale * v[r][p][j] * (g[r][p][j] - inner[r]);
  block.write(dx, g);
}

template <typename S>
__global__ void __launch_bounds__(kRowThreads)
    softmax_streamed(const S* x, int64_t rows, int64_t n, compute_t<S> scale, bool logarithm, S* y, int lanes) {
  using C = compute_t<S>;
  RowTeam team(lanes);
  if (team.row >= rows) return;
  Row<S, false, 1> row(team, n, {x + team.row * n}, y + team.row * n);
  S* to = y + team.row * n;
  C top = -kInfinity<C>;
  row.each([&](int64_t, auto& v) {
    for (C e : v) top = e > top ? e : top;  // NaN left out
  });
  top = team.max(top);
  bool finite = is_finite(top);
  C total = 0;
  row.each([&](int64_t, auto& v) {
    for (C e : v) total += finite ? exp_for<S>((e - top) * scale) : e == kInfinity<C> ? C(1) : C(0);
  });
  total = team.sum(total);
  C by = logarithm ? special::log(total) : C(1) / total;
  row.write(to, [&](int64_t, auto& out, auto& v) {
    for (int j = 0; j < static_cast<int>(sizeof(v) / sizeof(C)); ++j) {
      C shifted = (v[j] - top) * scale;
      out[j] = !finite ? degenerate(v[j], top, total, logarithm) : logarithm ? shifted - by : exp_for<S>(shifted) * by;
    }
  });
}

template <typename S>
__global__ void __launch_bounds__(kRowThreads)
    softmax_backward_streamed(const S* dy, const S* y, int64_t rows, int64_t n, compute_t<S> scale, bool logarithm, S* dx, int lanes) {
  using C = compute_t<S>;
  RowTeam team(lanes);
  if (team.row >= rows) return;
  Row<S, false, 2> row(team, n, {dy + team.row * n, y + team.row * n}, dx + team.row * n);
  C inner = 0;
  row.each([&](int64_t, auto& g, auto& p) {
    for (int j = 0; j < static_cast<int>(sizeof(g) / sizeof(C)); ++j) inner += logarithm ? g[j] : g[j] * p[j];
  });
  inner = team.sum(inner);
  row.write(dx + team.row * n, [&](int64_t, auto& out, auto& g, auto& p) {
    for (int j = 0; j < static_cast<int>(sizeof(g) / sizeof(C)); ++j)
      out[j] = logarithm ? scale * (g[j] - exp_for<S>(p[j]) * inner) : scale * p[j] * (g[j] - inner);
  });
}

constexpr int kAcross = 32, kDown = 8;  // columns of a block, and how many of their elements it takes at a time

// The results of the kDown threads of a column as one.
template <typename C, typename Join>
__device__ C join_column(C v, Join join) {
  __shared__ C parts[kDown][kAcross];
  int across = static_cast<int>(threadIdx.x) % kAcross, down = static_cast<int>(threadIdx.x) / kAcross;
  parts[down][across] = v;
  __syncthreads();
  v = parts[0][across];
  for (int i = 1; i < kDown; ++i) v = join(v, parts[i][across]);
  __syncthreads();
  return v;
}

// This thread's column of [outer, n, inner]: its first element, or −1; the elements are `inner` apart.
__device__ inline int64_t column_start(int64_t outer, int64_t n, int64_t inner) {
  int64_t column = static_cast<int64_t>(blockIdx.x) * kAcross + threadIdx.x % kAcross;
  return column < outer * inner ? column / inner * n * inner + column % inner : -1;
}
__device__ inline int64_t first_element() { return threadIdx.x / kAcross; }

template <typename S>
__global__ void softmax_columns(const S* x, int64_t outer, int64_t n, int64_t inner, compute_t<S> scale, bool logarithm, S* y) {
  using C = compute_t<S>;
  int64_t at = column_start(outer, n, inner), end = at < 0 ? 0 : n;
  auto element = [&](int64_t i) { return load(x[at + i * inner]); };
  auto put = [&](int64_t i, C v) { y[at + i * inner] = static_cast<S>(v); };
  C top = -kInfinity<C>, total = 0, at_top = 0;
  for (int64_t i = first_element(); i < end; i += kDown) top = element(i) > top ? element(i) : top;
  top = join_column(top, Larger());
  bool finite = is_finite(top);
  for (int64_t i = first_element(); i < end; i += kDown) {
    if (finite) total += exp_for<S>((element(i) - top) * scale);
    else at_top += element(i) == kInfinity<C> ? C(1) : C(0);
  }
  total = join_column(finite ? total : at_top, Plus());
  C by = logarithm ? special::log(total) : C(1) / total;
  for (int64_t i = first_element(); i < end; i += kDown) {
    C shifted = (element(i) - top) * scale;
    if (!finite) put(i, degenerate(element(i), top, total, logarithm));
    else put(i, logarithm ? shifted - by : exp_for<S>(shifted) * by);
  }
}

template <typename S>
__global__ void softmax_backward_columns(const S* dy, const S* y, int64_t outer, int64_t n, int64_t inner, compute_t<S> scale,
                                         bool logarithm, S* dx) {
  using C = compute_t<S>;
  int64_t at = column_start(outer, n, inner), end = at < 0 ? 0 : n;
  C total = 0;
  for (int64_t i = first_element(); i < end; i += kDown) {
    C g = load(dy[at + i * inner]);
    total += logarithm ? g : g * load(y[at + i * inner]);
  }
  total = join_column(total, Plus());
  for (int64_t i = first_element(); i < end; i += kDown) {
    C g = load(dy[at + i * inner]), p = load(y[at + i * inner]);
    dx[at + i * inner] = static_cast<S>(logarithm ? scale * (g - exp_for<S>(p) * total) : scale * p * (g - total));
  }
}

Grid column_grid(int64_t columns) { return {dim3(static_cast<unsigned>(pieces(columns, kAcross))), dim3(kAcross * kDown)}; }

void softmax(const Tensor& input, double scale, bool logarithm, Tensor& output) {
  int64_t outer = input.shape()[0], n = input.shape()[1], inner = input.shape()[2];
  if (input.numel() == 0) return;
  visit_floating("softmax", input.dtype(), [&]<typename S>() {
    const S* x = input.data<S>();
    S* y = output.data<S>();
    auto factor = static_cast<compute_t<S>>(scale);
    if (inner > 1) return launch(softmax_columns<S>, column_grid(outer * inner), x, outer, n, inner, factor, logarithm, y);
    if (!HeldRows::fit<S>(n) || !aligned16(x) || !aligned16(y)) {
      RowPlan plan = plan_rows<S>(outer, n, false);
      return launch(softmax_streamed<S>, plan.grid, x, outer, n, factor, logarithm, y, plan.team);
    }
    HeldRows plan = held_rows_by_warp<S>(outer, n);
    with_packs<S, kWarpPacks>(
        plan.packs, [&]<int P>() { launch(softmax_held<S, P>, plan.grid(kForwardRows<S, P>), x, outer, n, factor, logarithm, y); });
  });
}

void softmax_backward(const Tensor& gradient, const Tensor& output, double scale, bool logarithm, Tensor& result) {
  int64_t outer = output.shape()[0], n = output.shape()[1], inner = output.shape()[2];
  if (output.numel() == 0) return;
  visit_floating("softmax", output.dtype(), [&]<typename S>() {
    const S *dy = gradient.data<S>(), *y = output.data<S>();
    S* dx = result.data<S>();
    auto factor = static_cast<compute_t<S>>(scale);
    if (inner > 1) return launch(softmax_backward_columns<S>, column_grid(outer * inner), dy, y, outer, n, inner, factor, logarithm, dx);
    if (!HeldRows::fit<S>(n) || !aligned16(dy) || !aligned16(y) || !aligned16(dx)) {
      RowPlan plan = plan_rows<S>(outer, n, false);
      return launch(softmax_backward_streamed<S>, plan.grid, dy, y, outer, n, factor, logarithm, dx, plan.team);
    }
    HeldRows plan = held_rows<S>(outer, n);
    with_packs<S>(plan.packs, [&]<int P>() {
      launch(softmax_backward_held<S, P>, plan.grid(rows_at_once<S, P>(16)), dy, y, outer, n, factor, logarithm, dx);
    });
  });
}

}  // namespace

void register_softmax() {
  kernel::softmax.set(DeviceType::cuda, softmax);
  kernel::softmax_backward.set(DeviceType::cuda, softmax_backward);
}

}  // namespace plumb::cuda_backend
