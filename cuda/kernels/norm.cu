// Layer and RMS norm on the GPU. Rows that registers hold take the kernels of norm_held.h, which add a branch and change types in the same
// pass. Other rows (long, or no multiple of 16 bytes) belong to a warp or a block (row.h) and are streamed: read three times, from L1 or L2
// where they fit, and once more for the gradients of parameters; what surrounds the norm then takes passes of its own.
// Bytes: held rows are read once and written once. Bound: memory.
#include <cmath>

#include "cuda/kernels/norm_held.h"
#include "cuda/kernels/reduce_rules.h"
#include "cuda/kernels/row.h"
#include "engine/core/data_kernels.h"
#include "ops/kernels/norm.h"
#include "ops/kernels/pointwise.h"

namespace plumb::cuda_backend {
namespace {

template <typename C>
__device__ C scaled(C centred, C rstd, C weight, C bias, bool has_weight, bool has_bias) {
  if (has_weight && has_bias) return std::fma(centred * rstd, weight, bias);
  C y = centred * rstd;
  if (has_weight) y *= weight;
  return has_bias ? y + bias : y;
}

template <typename S>
__global__ void __launch_bounds__(kRowThreads)
    row_norm_streamed(const S* x, int64_t rows, int64_t n, const compute_t<S>* weight, const compute_t<S>* bias, bool centred,
                      compute_t<S> eps, S* y, compute_t<S>* means, compute_t<S>* rstds, int lanes) {
  using C = compute_t<S>;
  RowTeam team(lanes);
  if (team.row >= rows) return;
  S* to = y + team.row * n;
  Row<S, false, 1> row(team, n, {x + team.row * n}, to);
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
template <typename S>
__device__ void write_dx(const RowTeam& team, Row<S, false, 2>& row, int64_t n, const NormInput<compute_t<S>>& norm, S* to) {
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
__global__ void __launch_bounds__(kRowThreads)
    row_norm_dx_streamed(const S* dy, const S* x, int64_t rows, int64_t n, NormInput<compute_t<S>> norm, S* dx, int lanes) {
  RowTeam team(lanes);
  if (team.row >= rows) return;
  Row<S, false, 2> row(team, n, {dy + team.row * n, x + team.row * n}, dx + team.row * n);
  write_dx(team, row, n, norm, dx + team.row * n);
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

bool narrow(const Tensor& of, const Tensor& beside) { return of.defined() && of.dtype() != beside.dtype(); }
bool aligned(const Tensor& x) { return !x.defined() || aligned16(x.raw_data()); }

// run<S, N>() for x stored as S, whose branch and y may be stored as `beside`.
template <typename Run>
void visit_norm(DType x, DType beside, Run&& run) {
  if (x == beside || beside != DType::f16) {
    visit_floating("norm", x, [&]<typename S>() {
      if constexpr (std::is_same_v<S, float>) run.template operator()<float, bfloat16>();
      else run.template operator()<S, S>();
    });
  } else {
    run.template operator()<float, half>();
  }
}

template <typename S>
void norm_streamed(const Tensor& x, const Tensor& weight, const Tensor& bias, bool centred, double eps, Tensor& y, Tensor& mean,
                   Tensor& rstd) {
  using C = compute_t<S>;
  int64_t rows = rstd.numel(), n = x.numel() / rows;
  Tensor to = narrow(y, x) ? empty(x.shape(), x.dtype(), x.device(), "norm") : y;
  RowPlan plan = plan_rows<S>(rows, n, false);
  launch(row_norm_streamed<S>, plan.grid, x.data<S>(), rows, n, data_or_null<C>(weight), data_or_null<C>(bias), centred,
         static_cast<C>(eps), to.data<S>(), data_or_null<C>(mean), rstd.data<C>(), plan.team);
  if (narrow(y, x)) kernel::copy(y.device(), to, y);
}

void row_norm(const Tensor& x, const Tensor& branch, const Tensor& weight, const Tensor& bias, bool centred, double eps, Tensor& sum,
              Tensor& y, Tensor& mean, Tensor& rstd) {
  int64_t rows = rstd.numel(), n = rows ? x.numel() / rows : 0;
  if (x.numel() == 0) return;
  visit_norm(x.dtype(), narrow(y, x) ? y.dtype() : branch.defined() ? branch.dtype() : x.dtype(), [&]<typename S, typename N>() {
    using C = compute_t<S>;
    bool alike = !narrow(y, x) || !narrow(branch, x) || y.dtype() == branch.dtype();
    if (alike && HeldRows::fit<S>(n) && aligned(x) && aligned(branch) && aligned(weight) && aligned(bias) && aligned(sum) && aligned(y))
      return launch_norm_held<S, N>(
          held_rows_by_warp<S>(rows, n),
          {x.data<S>(), branch.defined() ? branch.raw_data() : nullptr, narrow(branch, x), data_or_null<C>(weight), data_or_null<C>(bias),
           centred, static_cast<C>(eps), data_or_null<S>(sum), y.raw_data(), narrow(y, x), data_or_null<C>(mean), rstd.data<C>()});
    if (branch.defined()) kernel::binary(x.device(), BinaryOp::add, x, branch, sum);
    norm_streamed<S>(branch.defined() ? sum : x, weight, bias, centred, eps, y, mean, rstd);
  });
}

template <typename S>
void norm_backward_streamed(const Tensor& gradient, const Tensor& dsum, const Tensor& x, const Tensor& mean, const Tensor& rstd,
                            const Tensor& weight, Tensor& dx, Tensor& dbranch, Tensor& dweight, Tensor& dbias, int64_t n) {
  using C = compute_t<S>;
  int64_t rows = rstd.numel();
  Tensor dy = gradient, to = dx.defined() || !dbranch.defined() ? dx : empty(x.shape(), x.dtype(), x.device(), "norm_backward");
  if (narrow(gradient, x)) {
    dy = empty(x.shape(), x.dtype(), x.device(), "norm_backward");
    kernel::copy(x.device(), gradient, dy);
  }
  NormInput<C> norm{data_or_null<C>(mean), rstd.data<C>(), data_or_null<C>(weight)};
  RowPlan plan = plan_rows<S>(rows, n, false);
  if (to.defined() && x.numel() > 0) {
    launch(row_norm_dx_streamed<S>, plan.grid, dy.data<S>(), x.data<S>(), rows, n, norm, to.data<S>(), plan.team);
    if (dsum.defined()) kernel::accumulate(to.device(), dsum, to);
    if (dbranch.defined()) kernel::copy(to.device(), to, dbranch);
  }
  if (!dweight.defined() && !dbias.defined()) return;
  ReduceAxes columns, over;
  columns.add({n, 1, 1, 0});
  over.add({rows, n, 0, 0});
  reduce_axes(ParameterGradients<S>{dy.data<S>(), x.data<S>(), norm, data_or_null<C>(dweight), data_or_null<C>(dbias)}, columns, over);
}

void row_norm_backward(const Tensor& dy, const Tensor& dsum, const Tensor& sum, const Tensor& mean, const Tensor& rstd,
                       const Tensor& weight, Tensor& dx, Tensor& dbranch, Tensor& dweight, Tensor& dbias) {
  bool parameters = dweight.defined() || dbias.defined();
  int64_t rows = rstd.numel(), n = rows ? sum.numel() / rows : parameters ? (dweight.defined() ? dweight : dbias).numel() : 0;
  visit_norm(sum.dtype(), narrow(dy, sum) ? dy.dtype() : dbranch.defined() ? dbranch.dtype() : sum.dtype(), [&]<typename S, typename N>() {
    using C = compute_t<S>;
    bool alike = !dbranch.defined() || dbranch.dtype() == dtype_of<N>();
    if (sum.numel() == 0 || !alike || !HeldRows::fit<S>(n) || !aligned(dy) || !aligned(dsum) || !aligned(sum) || !aligned(weight) ||
        !aligned(dx) || !aligned(dbranch))
      return norm_backward_streamed<S>(dy, dsum, sum, mean, rstd, weight, dx, dbranch, dweight, dbias, n);
    HeldRows plan = held_rows<S>(rows, n);
    int64_t blocks = norm_backward_blocks<S>(plan);
    Scratch<C> partial(parameters ? blocks * 2 * n : 0);
    launch_norm_backward_held<S, N>(plan, {dy.raw_data(), narrow(dy, sum), dsum.defined() ? dsum.data<S>() : nullptr, sum.data<S>(),
                                           data_or_null<C>(mean), rstd.data<C>(), data_or_null<C>(weight), data_or_null<S>(dx),
                                           data_or_null<N>(dbranch), parameters ? partial.data() : nullptr});
    if (parameters) launch_join_parameter_gradients(partial.data(), blocks, n, data_or_null<C>(dweight), data_or_null<C>(dbias));
  });
}

}  // namespace

void register_norm() {
  kernel::row_norm.set(DeviceType::cuda, row_norm);
  kernel::row_norm_backward.set(DeviceType::cuda, row_norm_backward);
}

}  // namespace plumb::cuda_backend
