// Group norm on the CPU. The elements of a group of one example lie together; whole groups go to a thread, and the gradients of weight and
// bias are summed over examples in order, so the result does not depend on the number of threads.
// Bytes: forward reads x once (twice beyond L2) and writes y; backward reads dy and x twice and writes dx. Bound: memory.
#include <cmath>

#include "ops/cpu/rows.h"
#include "ops/kernels/norm.h"
#include "ops/kernels/pointwise.h"

namespace plumb::cpu_kernels {
namespace {

template <typename T>
const T* data_or_null(const Tensor& t) { return t.defined() ? t.data<T>() : nullptr; }

template <typename S>
void group_norm_typed(const Tensor& input, int64_t groups, const Tensor& weight, const Tensor& bias, double eps, Tensor& output,
                      Tensor& mean, Tensor& rstd) {
  using C = compute_t<S>;
  int64_t channels = input.shape()[1], space = input.shape()[2], width = channels / groups, n = width * space;
  const C *w = data_or_null<C>(weight), *b = data_or_null<C>(bias);
  C *means = mean.data<C>(), *rstds = rstd.data<C>();
  const S* x = input.data<S>();
  S* y = output.data<S>();
  parallel_for(rstd.numel(), row_grain(n), [&](int64_t begin, int64_t end) {
    RowReader<S> read(n);
    RowWriter<S> write(n);
    for (int64_t r = begin; r < end; ++r) {
      const C* row = read(x + r * n);
      C m = lane_sum<C>(n, [row](int64_t i) { return row[i]; }) / static_cast<C>(n);
      C s = C(1) / std::sqrt(lane_sum<C>(n, [row, m](int64_t i) { return (row[i] - m) * (row[i] - m); }) / static_cast<C>(n) +
                             static_cast<C>(eps));
      means[r] = m;
      rstds[r] = s;
      C* out = write.begin(y + r * n);
      for (int64_t d = 0; d < width; ++d) {
        int64_t channel = r % groups * width + d;
        C scale = w ? s * w[channel] : s, shift = b ? b[channel] : C(0);
        for (int64_t i = d * space; i < (d + 1) * space; ++i) out[i] = (row[i] - m) * scale + shift;
      }
      write.store(y + r * n);
    }
  });
}

// x̂ = (x − m) s, g = dy · weight:  dx = s (g − mean(g) − x̂ mean(g x̂)). sums[channel] = (Σ dy, Σ dy (x − m)) of this example.
template <typename C>
void group_backward(const C* dy, const C* x, int64_t width, int64_t space, C m, C s, const C* w, C* sums, C* dx) {
  C total_g = 0, total_gx = 0;
  for (int64_t d = 0; d < width; ++d) {
    const C *g = dy + d * space, *row = x + d * space;
    const C sum_g = lane_sum<C>(space, [=](int64_t i) { return g[i]; }),
            sum_gx = lane_sum<C>(space, [=](int64_t i) { return g[i] * (row[i] - m); });
    sums[2 * d] = sum_g;
    sums[2 * d + 1] = sum_gx;
    total_g += w ? w[d] * sum_g : sum_g;
    total_gx += w ? w[d] * sum_gx : sum_gx;
  }
  if (!dx) return;
  C n = static_cast<C>(width * space), shift = s * total_g / n, slope = s * s * s * total_gx / n;
  for (int64_t d = 0; d < width; ++d) {
    C scale = w ? s * w[d] : s;
    for (int64_t i = d * space; i < (d + 1) * space; ++i) dx[i] = dy[i] * scale - shift - (x[i] - m) * slope;
  }
}

template <typename S>
void group_norm_backward_typed(const Tensor& gradient, const Tensor& input, int64_t groups, const Tensor& mean, const Tensor& rstd,
                               const Tensor& weight, Tensor& dx, Tensor& dweight, Tensor& dbias) {
  using C = compute_t<S>;
  int64_t examples = input.shape()[0], channels = input.shape()[1], space = input.shape()[2], width = channels / groups, n = width * space;
  const C *w = data_or_null<C>(weight), *means = mean.data<C>(), *rstds = rstd.data<C>();
  const S *dy = gradient.data<S>(), *x = input.data<S>();
  S* to = dx.defined() ? dx.data<S>() : nullptr;
  std::vector<C> sums(static_cast<size_t>(2 * examples * channels));
  parallel_for(rstd.numel(), row_grain(n), [&](int64_t begin, int64_t end) {
    RowReader<S> read_dy(n), read_x(n);
    RowWriter<S> write(n);
    for (int64_t r = begin; r < end; ++r) {
      const C* group_weight = w ? w + r % groups * width : nullptr;
      group_backward<C>(read_dy(dy + r * n), read_x(x + r * n), width, space, means[r], rstds[r], group_weight, sums.data() + 2 * r * width,
                        to ? write.begin(to + r * n) : nullptr);
      if (to) write.store(to + r * n);
    }
  });
  for (int64_t channel = 0; channel < channels; ++channel) {
    C sum_g = 0, sum_gx = 0;
    for (int64_t e = 0; e < examples; ++e) {
      const C* at = sums.data() + 2 * (e * channels + channel);
      sum_g += at[0];
      sum_gx += at[1] * rstds[e * groups + channel / width];
    }
    if (dweight.defined()) dweight.data<C>()[channel] = sum_gx;
    if (dbias.defined()) dbias.data<C>()[channel] = sum_g;
  }
}

// y ← the norm of x, whose moments are known.
template <typename S>
void normalise_again(const Tensor& input, int64_t groups, const Tensor& mean, const Tensor& rstd, const Tensor& weight, const Tensor& bias,
                     Tensor& output) {
  using C = compute_t<S>;
  const int64_t channels = input.shape()[1], space = input.shape()[2], width = channels / groups;
  const C *w = data_or_null<C>(weight), *b = data_or_null<C>(bias), *means = mean.data<C>(), *rstds = rstd.data<C>();
  const S* x = input.data<S>();
  S* y = output.data<S>();
  parallel_for(input.shape()[0] * channels, row_grain(space), [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) {
      const int64_t channel = plane % channels, group = plane / width;
      const C m = means[group], scale = w ? rstds[group] * w[channel] : rstds[group], shift = b ? b[channel] : C(0);
      for (int64_t i = plane * space; i < (plane + 1) * space; ++i) y[i] = static_cast<S>((static_cast<C>(x[i]) - m) * scale + shift);
    }
  });
}

void group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias, double eps, Tensor& y, Tensor& mean,
                Tensor& rstd) {
  visit_floating("group_norm", x.dtype(), [&]<typename S>() { group_norm_typed<S>(x, groups, weight, bias, eps, y, mean, rstd); });
}
void group_norm_backward(const Tensor& dy, const Tensor& x, int64_t groups, const Tensor& mean, const Tensor& rstd, const Tensor& weight,
                         Tensor& dx, Tensor& dweight, Tensor& dbias) {
  visit_floating("group_norm", x.dtype(),
                 [&]<typename S>() { group_norm_backward_typed<S>(dy, x, groups, mean, rstd, weight, dx, dweight, dbias); });
}

void group_norm_silu(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias, double eps, Tensor& y, Tensor& mean,
                     Tensor& rstd) {
  group_norm(x, groups, weight, bias, eps, y, mean, rstd);
  kernel::unary(y.device(), UnaryOp::silu, y, 0, 0, y);
}
void group_norm_silu_backward(const Tensor& dy, const Tensor& x, int64_t groups, const Tensor& mean, const Tensor& rstd,
                              const Tensor& weight, const Tensor& bias, Tensor& dx, Tensor& dweight, Tensor& dbias) {
  Tensor gradient = empty(x.shape(), x.dtype(), {}, "group_norm_silu_backward");
  visit_floating("group_norm", x.dtype(), [&]<typename S>() { normalise_again<S>(x, groups, mean, rstd, weight, bias, gradient); });
  kernel::binary(x.device(), BinaryOp::silu_backward, gradient, dy, gradient);
  group_norm_backward(gradient, x, groups, mean, rstd, weight, dx, dweight, dbias);
}

}  // namespace

void register_group_norm() {
  kernel::group_norm.set(DeviceType::cpu, group_norm);
  kernel::group_norm_backward.set(DeviceType::cpu, group_norm_backward);
  kernel::group_norm_silu.set(DeviceType::cpu, group_norm_silu);
  kernel::group_norm_silu_backward.set(DeviceType::cpu, group_norm_silu_backward);
}

}  // namespace plumb::cpu_kernels
