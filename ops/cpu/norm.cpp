// Layer and RMS norm on the CPU. Rows are independent; a row stays in L1 between its sweeps. Gradients of weight and bias are summed over
// fixed blocks of rows, then over the blocks in order, so the result does not depend on the number of threads.
// Bytes: forward reads x once and writes y once; backward reads dy and x once and writes dx once. Bound: memory.
#include "ops/kernels/norm.h"

#include <cmath>

#include "engine/core/data_kernels.h"
#include "ops/cpu/rows.h"
#include "ops/kernels/pointwise.h"

namespace plumb::cpu_kernels {
namespace {

constexpr int64_t kRowBlock = 32;  // rows whose weight gradients are summed before blocks are joined

template <typename T>
const T* data_or_null(const Tensor& t) { return t.defined() ? t.data<T>() : nullptr; }
template <typename T>
T* data_or_null(Tensor& t) { return t.defined() ? t.data<T>() : nullptr; }

template <typename T>
void scale_row(const T* x, int64_t n, T mean, T rstd, const T* weight, const T* bias, T* y) {
  if (weight && bias) {
    for (int64_t i = 0; i < n; ++i) y[i] = std::fma((x[i] - mean) * rstd, weight[i], bias[i]);
  } else if (weight) {
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * rstd * weight[i];
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * rstd;
    if (bias)
      for (int64_t i = 0; i < n; ++i) y[i] += bias[i];
  }
}

// x stored as S, y as Y.
template <typename S, typename Y>
void row_norm_typed(const Tensor& x, const Tensor& weight, const Tensor& bias, bool centred, double eps, Tensor& y, Tensor& mean,
                    Tensor& rstd) {
  using C = compute_t<S>;
  int64_t rows = rstd.numel(), n = rows ? x.numel() / rows : 0;
  const C *w = data_or_null<C>(weight), *b = data_or_null<C>(bias);
  C *means = data_or_null<C>(mean), *rstds = rstd.data<C>();
  const S* from = x.data<S>();
  Y* to = y.data<Y>();
  parallel_for(rows, row_grain(n), [&](int64_t begin, int64_t end) {
    RowReader<S> read(n);
    RowWriter<Y> write(n);
    for (int64_t r = begin; r < end; ++r) {
      const C* row = read(from + r * n);
      C m = centred ? lane_sum<C>(n, [row](int64_t i) { return row[i]; }) / static_cast<C>(n) : C(0);
      C variance = lane_sum<C>(n, [row, m](int64_t i) { return (row[i] - m) * (row[i] - m); }) / static_cast<C>(n);
      C s = C(1) / std::sqrt(variance + static_cast<C>(eps));
      if (means) means[r] = m;
      rstds[r] = s;
      scale_row(row, n, m, s, w, b, write.begin(to + r * n));
      write.store(to + r * n);
    }
  });
}

void row_norm(const Tensor& x, const Tensor& branch, const Tensor& weight, const Tensor& bias, bool centred, double eps, Tensor& sum,
              Tensor& y, Tensor& mean, Tensor& rstd) {
  if (branch.defined()) kernel::binary(x.device(), BinaryOp::add, x, branch, sum);
  const Tensor& s = branch.defined() ? sum : x;
  if (s.dtype() != y.dtype()) {
    return y.dtype() == bf16 ? row_norm_typed<float, bfloat16>(s, weight, bias, centred, eps, y, mean, rstd)
                             : row_norm_typed<float, half>(s, weight, bias, centred, eps, y, mean, rstd);
  }
  visit_floating("norm", s.dtype(), [&]<typename S>() { row_norm_typed<S, S>(s, weight, bias, centred, eps, y, mean, rstd); });
}

// x̂ = (x − mean) rstd, g = dy · weight:   dx = rstd (g − [centred] mean(g) − x̂ mean(g x̂))
template <typename T>
void row_dx(const T* dy, const T* x, int64_t n, T mean, T rstd, const T* w, bool centred, T* dx) {
  auto [sum_g, sum_gx] = w ? lane_sums<T>(n, [=](int64_t i, T& g, T& gx) { g += dy[i] * w[i], gx += dy[i] * w[i] * (x[i] - mean); })
                           : lane_sums<T>(n, [=](int64_t i, T& g, T& gx) { g += dy[i], gx += dy[i] * (x[i] - mean); });
  if (!centred) sum_g = 0;
  T shift = rstd * sum_g / static_cast<T>(n), slope = rstd * rstd * rstd * sum_gx / static_cast<T>(n);
  if (w) {
    for (int64_t i = 0; i < n; ++i) dx[i] = dy[i] * w[i] * rstd - shift - (x[i] - mean) * slope;
  } else {
    for (int64_t i = 0; i < n; ++i) dx[i] = dy[i] * rstd - shift - (x[i] - mean) * slope;
  }
}

template <typename T>
void add_parameter_gradients(const T* dy, const T* x, int64_t n, T mean, T rstd, T* dw, T* db) {
  if (dw && db) {
    for (int64_t i = 0; i < n; ++i) {
      dw[i] += dy[i] * ((x[i] - mean) * rstd);
      db[i] += dy[i];
    }
  } else if (dw) {
    for (int64_t i = 0; i < n; ++i) dw[i] += dy[i] * ((x[i] - mean) * rstd);
  } else if (db) {
    for (int64_t i = 0; i < n; ++i) db[i] += dy[i];
  }
}

// total[i] = Σ over blocks of partial[block · stride + i], in order.
template <typename T>
void join_blocks(const T* partial, int64_t blocks, int64_t stride, int64_t n, T* total) {
  parallel_for(n, std::max<int64_t>(64, kPointwiseGrain / std::max<int64_t>(1, blocks)), [&](int64_t begin, int64_t end) {
    std::fill(total + begin, total + end, T(0));
    for (int64_t block = 0; block < blocks; ++block)
      for (int64_t i = begin; i < end; ++i) total[i] += partial[block * stride + i];
  });
}

// x and its gradient stored as S, dy as Y.
template <typename S, typename Y>
void row_norm_backward_typed(const Tensor& dy, const Tensor& x, const Tensor& mean, const Tensor& rstd, const Tensor& weight, Tensor& dx,
                             Tensor& dweight, Tensor& dbias) {
  using C = compute_t<S>;
  int64_t rows = rstd.numel(), parameters = dweight.defined() ? dweight.numel() : dbias.defined() ? dbias.numel() : 0;
  int64_t n = rows ? x.numel() / rows : parameters, blocks = (rows + kRowBlock - 1) / kRowBlock;
  const C *w = data_or_null<C>(weight), *means = data_or_null<C>(mean), *rstds = rstd.data<C>();
  C *dw = data_or_null<C>(dweight), *db = data_or_null<C>(dbias);
  const Y* gradient = dy.data<Y>();
  const S* input = x.data<S>();
  S* to = data_or_null<S>(dx);
  Tensor partial = dw || db ? empty({blocks, 2, n}, rstd.dtype(), {}, "norm_backward") : Tensor();
  C* sums = data_or_null<C>(partial);
  parallel_for(blocks, std::max<int64_t>(1, row_grain(n) / kRowBlock), [&](int64_t begin, int64_t end) {
    RowReader<Y> read_dy(n);
    RowReader<S> read_x(n);
    RowWriter<S> write(n);
    for (int64_t block = begin; block < end; ++block) {
      C *block_dw = dw ? sums + block * 2 * n : nullptr, *block_db = db ? sums + (block * 2 + 1) * n : nullptr;
      if (block_dw) std::fill_n(block_dw, n, C(0));
      if (block_db) std::fill_n(block_db, n, C(0));
      for (int64_t r = block * kRowBlock; r < std::min(rows, (block + 1) * kRowBlock); ++r) {
        const C *g = read_dy(gradient + r * n), *row = read_x(input + r * n);
        C m = means ? means[r] : C(0);
        add_parameter_gradients(g, row, n, m, rstds[r], block_dw, block_db);
        if (!to) continue;
        row_dx(g, row, n, m, rstds[r], w, means != nullptr, write.begin(to + r * n));
        write.store(to + r * n);
      }
    }
  });
  if (dw) join_blocks(sums, blocks, 2 * n, n, dw);
  if (db) join_blocks(sums + n, blocks, 2 * n, n, db);
}

void row_norm_backward(const Tensor& dy, const Tensor& dsum, const Tensor& sum, const Tensor& mean, const Tensor& rstd,
                       const Tensor& weight, Tensor& dx, Tensor& dbranch, Tensor& dweight, Tensor& dbias) {
  Tensor to = dx.defined() || !dbranch.defined() ? dx : empty(sum.shape(), sum.dtype(), {}, "norm_backward");
  if (dy.dtype() == sum.dtype())
    visit_floating("norm", sum.dtype(),
                   [&]<typename S>() { row_norm_backward_typed<S, S>(dy, sum, mean, rstd, weight, to, dweight, dbias); });
  else
    dy.dtype() == bf16 ? row_norm_backward_typed<float, bfloat16>(dy, sum, mean, rstd, weight, to, dweight, dbias)
                       : row_norm_backward_typed<float, half>(dy, sum, mean, rstd, weight, to, dweight, dbias);
  if (dsum.defined() && to.defined()) kernel::accumulate(to.device(), dsum, to);
  if (dbranch.defined()) kernel::copy(to.device(), to, dbranch);
}

}  // namespace

void register_norm() {
  kernel::row_norm.set(DeviceType::cpu, row_norm);
  kernel::row_norm_backward.set(DeviceType::cpu, row_norm_backward);
}

}  // namespace plumb::cpu_kernels
