// Batch norm on the CPU: x [n, C, s] is walked in runs. With much space behind a channel a run is one channel of one example; with little,
// it is all channels of one example, with each channel's parameters repeated along it. Sums are taken run by run (or over fixed blocks of
// runs) and joined in order in double, so the result does not depend on the number of threads.
// Bytes: each pass reads its operands once and writes once: forward two reads of x and one, backward one pass for the sums and one for dx.
#include <array>
#include <cmath>

#include "ops/cpu/rows.h"
#include "ops/kernels/norm.h"
#include "ops/norm_functions.h"

namespace plumb::cpu_kernels {
namespace {

constexpr int64_t kRunBlock = 64;  // narrow runs that are summed before blocks are joined

struct Runs {
  int64_t examples, channels, space;
  explicit Runs(const Tensor& x) : examples(x.shape()[0]), channels(x.shape()[1]), space(x.shape()[2]) {}
  bool narrow() const { return space < kLanes; }
  int64_t count() const { return narrow() ? examples : examples * channels; }
  int64_t length() const { return narrow() ? channels * space : space; }
  double elements() const { return static_cast<double>(examples * space); }  ///< of one channel
  /// value(channel), repeated along a narrow run.
  template <typename T, typename Value>
  std::vector<T> parameters(Value&& value) const {
    int64_t repeat = narrow() ? space : 1;
    std::vector<T> p(static_cast<size_t>(channels * repeat));
    for (int64_t i = 0; i < channels * repeat; ++i) p[static_cast<size_t>(i)] = value(i / repeat);
    return p;
  }
};

/// Calls write(i, p0, p1, p2, p3) for every element i, with its channel's parameters.
template <typename T, typename Write>
void map_runs(const Runs& runs, const std::array<std::vector<T>, 4>& p, Write&& write) {
  int64_t n = runs.length();
  parallel_for(runs.count(), row_grain(n), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      if (runs.narrow()) {
        const T *a = p[0].data(), *b = p[1].data(), *c = p[2].data(), *d = p[3].data();
        for (int64_t i = 0; i < n; ++i) write(r * n + i, a[i], b[i], c[i], d[i]);
      } else {
        auto channel = static_cast<size_t>(r % runs.channels);
        T a = p[0][channel], b = p[1][channel], c = p[2][channel], d = p[3][channel];
        for (int64_t i = r * n; i < (r + 1) * n; ++i) write(i, a, b, c, d);
      }
    }
  });
}

/// Two sums a channel: add(i, centre, a, b) for every element i of it.
struct ChannelSums {
  std::vector<double> a, b;
};
template <typename T, typename Add>
ChannelSums sum_runs(const Runs& runs, const std::vector<T>& centre, Add&& add) {
  int64_t n = runs.length(), parts = runs.narrow() ? (runs.examples + kRunBlock - 1) / kRunBlock : runs.examples,
          width = runs.narrow() ? n : runs.channels;
  std::vector<T> partial(static_cast<size_t>(2 * parts * width));  // [part, 2, width]
  if (runs.narrow()) {
    parallel_for(parts, std::max<int64_t>(1, row_grain(n) / kRunBlock), [&](int64_t begin, int64_t end) {
      for (int64_t part = begin; part < end; ++part) {
        T *a = partial.data() + 2 * part * width, *b = a + width;
        for (int64_t r = part * kRunBlock; r < std::min(runs.examples, (part + 1) * kRunBlock); ++r)
          for (int64_t i = 0; i < n; ++i) add(r * n + i, centre[static_cast<size_t>(i)], a[i], b[i]);
      }
    });
  } else {
    parallel_for(runs.count(), row_grain(n), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        T m = centre[static_cast<size_t>(r % width)];
        auto [a, b] = lane_sums<T>(n, [&](int64_t i, T& x, T& y) { add(r * n + i, m, x, y); });
        T* to = partial.data() + 2 * (r / width) * width + r % width;
        to[0] = a;
        to[width] = b;
      }
    });
  }
  ChannelSums sums{std::vector<double>(static_cast<size_t>(runs.channels)), std::vector<double>(static_cast<size_t>(runs.channels))};
  for (int64_t part = 0; part < parts; ++part)
    for (int64_t i = 0; i < width; ++i) {
      auto channel = static_cast<size_t>(i * runs.channels / width);
      sums.a[channel] += static_cast<double>(partial[static_cast<size_t>(2 * part * width + i)]);
      sums.b[channel] += static_cast<double>(partial[static_cast<size_t>((2 * part + 1) * width + i)]);
    }
  return sums;
}

template <typename S>
void channel_moments_typed(const Tensor& input, double eps, Tensor& mean, Tensor& variance, Tensor& rstd) {
  using C = compute_t<S>;
  Runs runs(input);
  const S* x = input.data<S>();
  C *m = mean.data<C>(), *v = variance.data<C>(), *s = rstd.data<C>();
  auto zero = runs.parameters<C>([](int64_t) { return C(0); });
  ChannelSums first = sum_runs(runs, zero, [x](int64_t i, C, C& a, C&) { a += static_cast<C>(x[i]); });
  for (int64_t c = 0; c < runs.channels; ++c) m[c] = static_cast<C>(first.a[static_cast<size_t>(c)] / runs.elements());
  auto centre = runs.parameters<C>([m](int64_t c) { return m[c]; });
  ChannelSums second = sum_runs(runs, centre, [x](int64_t i, C mid, C& a, C& b) {
    C d = static_cast<C>(x[i]) - mid;
    a += d;
    b += d * d;
  });
  for (int64_t c = 0; c < runs.channels; ++c) {  // the mean was rounded: Σ d is what is left of it
    double left = second.a[static_cast<size_t>(c)] / runs.elements();
    v[c] = static_cast<C>(second.b[static_cast<size_t>(c)] / runs.elements() - left * left);
    s[c] = C(1) / std::sqrt(v[c] + static_cast<C>(eps));
  }
}

template <typename S>
void channel_norm_typed(const Tensor& input, const Tensor& mean, const Tensor& rstd, const Tensor& weight, const Tensor& bias,
                        Tensor& output) {
  using C = compute_t<S>;
  Runs runs(input);
  const C *m = mean.data<C>(), *s = rstd.data<C>(), *w = weight.defined() ? weight.data<C>() : nullptr,
          *b = bias.defined() ? bias.data<C>() : nullptr;
  const S* x = input.data<S>();
  S* y = output.data<S>();
  map_runs<C>(runs,
              {runs.parameters<C>([=](int64_t c) { return m[c]; }), runs.parameters<C>([=](int64_t c) { return w ? s[c] * w[c] : s[c]; }),
               runs.parameters<C>([=](int64_t c) { return b ? b[c] : C(0); }), runs.parameters<C>([](int64_t) { return C(0); })},
              [x, y](int64_t i, C mid, C scale, C shift, C) { y[i] = static_cast<S>((static_cast<C>(x[i]) - mid) * scale + shift); });
}

// a = rstd · weight:  dx = a (dy − mean(dy) − (x − m) rstd² mean(dy (x − m))); with constant moments dx = a dy.
template <typename S>
void channel_norm_backward_typed(const Tensor& gradient, const Tensor& input, const Tensor& mean, const Tensor& rstd, const Tensor& weight,
                                 bool moments, Tensor& dx, Tensor& dweight, Tensor& dbias) {
  using C = compute_t<S>;
  Runs runs(input);
  const C *m = mean.data<C>(), *s = rstd.data<C>(), *w = weight.defined() ? weight.data<C>() : nullptr;
  const S *dy = gradient.data<S>(), *x = input.data<S>();
  auto centre = runs.parameters<C>([m](int64_t c) { return m[c]; });
  ChannelSums sums{std::vector<double>(static_cast<size_t>(runs.channels)), std::vector<double>(static_cast<size_t>(runs.channels))};
  if ((moments && dx.defined()) || dweight.defined() || dbias.defined())
    sums = sum_runs(runs, centre, [dy, x](int64_t i, C mid, C& a, C& b) {
      a += static_cast<C>(dy[i]);
      b += static_cast<C>(dy[i]) * (static_cast<C>(x[i]) - mid);
    });
  for (int64_t c = 0; c < runs.channels; ++c) {
    if (dweight.defined()) dweight.data<C>()[c] = static_cast<C>(sums.b[static_cast<size_t>(c)] * static_cast<double>(s[c]));
    if (dbias.defined()) dbias.data<C>()[c] = static_cast<C>(sums.a[static_cast<size_t>(c)]);
  }
  if (!dx.defined()) return;
  S* to = dx.data<S>();
  auto scale = [=](int64_t c) { return w ? s[c] * w[c] : s[c]; };
  double n = moments ? runs.elements() : INFINITY;  // constant moments: nothing comes back through them
  map_runs<C>(runs,
              {centre, runs.parameters<C>(scale),
               runs.parameters<C>([&](int64_t c) { return static_cast<C>(sums.b[static_cast<size_t>(c)] / n) * s[c] * s[c] * scale(c); }),
               runs.parameters<C>([&](int64_t c) { return static_cast<C>(sums.a[static_cast<size_t>(c)] / n) * scale(c); })},
              [=](int64_t i, C mid, C a, C slope, C shift) {
                to[i] = static_cast<S>(static_cast<C>(dy[i]) * a - (static_cast<C>(x[i]) - mid) * slope - shift);
              });
}

void channel_moments(const Tensor& x, double eps, Tensor& mean, Tensor& variance, Tensor& rstd) {
  visit_floating("batch_norm", x.dtype(), [&]<typename S>() { channel_moments_typed<S>(x, eps, mean, variance, rstd); });
}
void running_statistics(const Tensor& batch_mean, const Tensor& batch_variance, double correction, double momentum, Tensor& mean,
                        Tensor& variance, Tensor& batches) {
  visit_floating("batch_norm", mean.dtype(), [&]<typename T>() {
    using C = compute_t<T>;
    visit_f32_f64("batch_norm", batch_mean.dtype(), [&]<typename B>() {
      const B *from_mean = batch_mean.data<B>(), *from_variance = batch_variance.data<B>();
      T *m = mean.data<T>(), *v = variance.data<T>();
      for (int64_t c = 0; c < mean.numel(); ++c) {
        m[c] = function::moved_towards(m[c], from_mean[c], C(1), static_cast<C>(momentum));
        v[c] = function::moved_towards(v[c], from_variance[c], static_cast<C>(correction), static_cast<C>(momentum));
      }
    });
  });
  if (batches.defined()) ++*batches.data<int64_t>();
}
void channel_norm(const Tensor& x, const Tensor& mean, const Tensor& rstd, const Tensor& weight, const Tensor& bias, Tensor& y) {
  visit_floating("batch_norm", x.dtype(), [&]<typename S>() { channel_norm_typed<S>(x, mean, rstd, weight, bias, y); });
}
void channel_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& mean, const Tensor& rstd, const Tensor& weight, bool moments,
                           Tensor& dx, Tensor& dweight, Tensor& dbias) {
  visit_floating("batch_norm", x.dtype(),
                 [&]<typename S>() { channel_norm_backward_typed<S>(dy, x, mean, rstd, weight, moments, dx, dweight, dbias); });
}

}  // namespace

void register_batch_norm() {
  kernel::channel_moments.set(DeviceType::cpu, channel_moments);
  kernel::running_statistics.set(DeviceType::cpu, running_statistics);
  kernel::channel_norm.set(DeviceType::cpu, channel_norm);
  kernel::channel_norm_backward.set(DeviceType::cpu, channel_norm_backward);
}

}  // namespace plumb::cpu_kernels
