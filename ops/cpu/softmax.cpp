// Softmax on the CPU. Rows are independent, so the result does not depend on the number of threads. A dense row goes through three sweeps
// (maximum, exponentials and their sum, scaling) that stay in L1 up to some thousand columns; a row across memory is handled together
// with up to 64 neighbours, element by element of the strip. Bytes: read x once, write y once. Bound: memory, or exp.
#include "ops/kernels/softmax.h"

#include "ops/cpu/rows.h"
#include "ops/special_functions.h"

namespace plumb::cpu_kernels {
namespace {

template <typename T> constexpr T kInfinity = std::numeric_limits<T>::infinity();

// Rows whose maximum is not finite: all −∞ gives zeros (−∞ for the logarithm), +∞ share the whole probability, NaN stays.
template <typename T>
void degenerate_row(const T* x, int64_t n, int64_t stride, T maximum, bool logarithm, T* y) {
  int64_t at_top = 0;
  for (int64_t i = 0; i < n; ++i) at_top += x[i * stride] == kInfinity<T>;
  T share = maximum > 0 ? T(1) / static_cast<T>(at_top) : T(0);
  for (int64_t i = 0; i < n; ++i) {
    T p = x[i * stride] == kInfinity<T> ? share : T(0);
    y[i * stride] = x[i * stride] != x[i * stride] ? x[i * stride] : logarithm ? std::log(p) : p;
  }
}

template <typename T>
void softmax_row(const T* x, int64_t n, T scale, bool logarithm, T* y) {
  T top = lane_max(x, n);
  if (!(top > -kInfinity<T> && top < kInfinity<T>)) return degenerate_row(x, n, 1, top, logarithm, y);
  if (logarithm) {
    T total = lane_sum<T>(n, [=](int64_t i) { return special::exp((x[i] - top) * scale); });
    T shift = std::log(total);
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - top) * scale - shift;
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = special::exp((x[i] - top) * scale);
    T inverse = T(1) / lane_sum<T>(n, [=](int64_t i) { return y[i]; });
    for (int64_t i = 0; i < n; ++i) y[i] *= inverse;
  }
}

template <typename T>
void softmax_row_backward(const T* dy, const T* y, int64_t n, T scale, bool logarithm, T* dx) {
  if (logarithm) {
    T total = lane_sum<T>(n, [=](int64_t i) { return dy[i]; });
    for (int64_t i = 0; i < n; ++i) dx[i] = scale * (dy[i] - special::exp(y[i]) * total);
  } else {
    T inner = lane_sum<T>(n, [=](int64_t i) { return dy[i] * y[i]; });
    for (int64_t i = 0; i < n; ++i) dx[i] = scale * y[i] * (dy[i] - inner);
  }
}

constexpr int64_t kStrip = 64;  // neighbouring rows that are handled together when a row is not dense

// x, y: n elements of `width` ≤ kStrip rows, element i of row c at [i · stride + c].
template <typename T>
void softmax_strip(const T* x, int64_t n, int64_t stride, int64_t width, T scale, bool logarithm, T* y) {
  T top[kStrip], total[kStrip];
  for (int64_t c = 0; c < width; ++c) top[c] = -kInfinity<T>, total[c] = 0;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t c = 0; c < width; ++c) top[c] = x[i * stride + c] > top[c] ? x[i * stride + c] : top[c];
  for (int64_t i = 0; i < n; ++i)
    for (int64_t c = 0; c < width; ++c) {
      T e = special::exp((x[i * stride + c] - top[c]) * scale);
      total[c] += e;
      if (!logarithm) y[i * stride + c] = e;
    }
  for (int64_t c = 0; c < width; ++c) total[c] = logarithm ? std::log(total[c]) : T(1) / total[c];
  for (int64_t i = 0; i < n; ++i)
    for (int64_t c = 0; c < width; ++c)
      y[i * stride + c] = logarithm ? (x[i * stride + c] - top[c]) * scale - total[c] : y[i * stride + c] * total[c];
  for (int64_t c = 0; c < width; ++c)
    if (!(top[c] > -kInfinity<T> && top[c] < kInfinity<T>)) degenerate_row(x + c, n, stride, top[c], logarithm, y + c);
}

template <typename T>
void softmax_strip_backward(const T* dy, const T* y, int64_t n, int64_t stride, int64_t width, T scale, bool logarithm, T* dx) {
  T inner[kStrip] = {};
  for (int64_t i = 0; i < n; ++i)
    for (int64_t c = 0; c < width; ++c) inner[c] += logarithm ? dy[i * stride + c] : dy[i * stride + c] * y[i * stride + c];
  for (int64_t i = 0; i < n; ++i)
    for (int64_t c = 0; c < width; ++c) {
      T g = dy[i * stride + c], p = y[i * stride + c];
      dx[i * stride + c] = logarithm ? scale * (g - special::exp(p) * inner[c]) : scale * p * (g - inner[c]);
    }
}

// Calls strip(offset, width) for strips of rows across memory: [outer, n, inner], inner > 1.
template <typename Strip>
void for_each_strip(const Shape& shape, Strip&& strip) {
  int64_t n = shape[1], inner = shape[2], strips = (inner + kStrip - 1) / kStrip;
  parallel_for(shape[0] * strips, row_grain(n * std::min(inner, kStrip)), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      strip(i / strips * n * inner + i % strips * kStrip, std::min(kStrip, inner - i % strips * kStrip));
  });
}

// 16-bit strips are gathered into dense float ones and back.
template <typename S, typename C>
void gather(const S* from, int64_t n, int64_t stride, int64_t width, C* to) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t c = 0; c < width; ++c) to[i * width + c] = static_cast<C>(from[i * stride + c]);
}
template <typename S, typename C>
void scatter(const C* from, int64_t n, int64_t stride, int64_t width, S* to) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t c = 0; c < width; ++c) to[i * stride + c] = static_cast<S>(from[i * width + c]);
}

template <typename S>
void softmax_typed(const Tensor& input, double scale, bool logarithm, Tensor& output) {
  using C = compute_t<S>;
  const Shape& shape = input.shape();
  int64_t n = shape[1], inner = shape[2];
  const S* x = input.data<S>();
  S* y = output.data<S>();
  if (inner == 1) {
    return parallel_for(shape[0], row_grain(n), [&](int64_t begin, int64_t end) {
      RowReader<S> read(n);
      RowWriter<S> write(n);
      for (int64_t r = begin; r < end; ++r) {
        softmax_row<C>(read(x + r * n), n, static_cast<C>(scale), logarithm, write.begin(y + r * n));
        write.store(y + r * n);
      }
    });
  }
  for_each_strip(shape, [&](int64_t at, int64_t width) {
    if constexpr (std::is_same_v<S, C>) softmax_strip(x + at, n, inner, width, static_cast<C>(scale), logarithm, y + at);
    else {
      std::vector<C> dense(static_cast<size_t>(n * width)), result(static_cast<size_t>(n * width));
      gather(x + at, n, inner, width, dense.data());
      softmax_strip(dense.data(), n, width, width, static_cast<C>(scale), logarithm, result.data());
      scatter(result.data(), n, inner, width, y + at);
    }
  });
}

template <typename S>
void softmax_backward_typed(const Tensor& gradient, const Tensor& output, double scale, bool logarithm, Tensor& result) {
  using C = compute_t<S>;
  const Shape& shape = output.shape();
  int64_t n = shape[1], inner = shape[2];
  const S *dy = gradient.data<S>(), *y = output.data<S>();
  S* dx = result.data<S>();
  if (inner == 1) {
    return parallel_for(shape[0], row_grain(n), [&](int64_t begin, int64_t end) {
      RowReader<S> read_dy(n), read_y(n);
      RowWriter<S> write(n);
      for (int64_t r = begin; r < end; ++r) {
        softmax_row_backward<C>(read_dy(dy + r * n), read_y(y + r * n), n, static_cast<C>(scale), logarithm, write.begin(dx + r * n));
        write.store(dx + r * n);
      }
    });
  }
  for_each_strip(shape, [&](int64_t at, int64_t width) {
    if constexpr (std::is_same_v<S, C>) softmax_strip_backward(dy + at, y + at, n, inner, width, static_cast<C>(scale), logarithm, dx + at);
    else {
      std::vector<C> g(static_cast<size_t>(n * width)), p(g.size());
      gather(dy + at, n, inner, width, g.data());
      gather(y + at, n, inner, width, p.data());
      softmax_strip_backward(g.data(), p.data(), n, width, width, static_cast<C>(scale), logarithm, g.data());
      scatter(g.data(), n, inner, width, dx + at);
    }
  });
}

void softmax(const Tensor& x, double scale, bool logarithm, Tensor& y) {
  visit_floating("softmax", x.dtype(), [&]<typename S>() { softmax_typed<S>(x, scale, logarithm, y); });
}
void softmax_backward(const Tensor& dy, const Tensor& y, double scale, bool logarithm, Tensor& dx) {
  visit_floating("softmax", y.dtype(), [&]<typename S>() { softmax_backward_typed<S>(dy, y, scale, logarithm, dx); });
}

}  // namespace

void register_softmax() {
  kernel::softmax.set(DeviceType::cpu, softmax);
  kernel::softmax_backward.set(DeviceType::cpu, softmax_backward);
}

}  // namespace plumb::cpu_kernels
