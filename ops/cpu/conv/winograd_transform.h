// Winograd's transforms along one dimension, and their nesting in two. Each function maps a few vectors to a few vectors; the points of
// evaluation are 0, 1, −1, ∞ for m = 2, and 2, −2 besides for m = 4.
// Included by one file an instruction set; templates over that file's own vector type, as in ops/cpu/gemm/tile.h.
#pragma once
#include <cstdint>

#include "ops/cpu/conv/winograd_kernels.h"

namespace plumb::conv {

template <typename V, int kTile>
struct Winograd1d;

// m = 2: every factor is a power of two, so the transforms round in their sums only.
template <typename V>
struct Winograd1d<V, 2> {
  using X = typename V::Vector;
  static X times(float a, X x) { return V::mul(V::broadcast(a), x); }
  static void input(const X* d, X* t) { t[0] = d[0] - d[2], t[1] = d[1] + d[2], t[2] = d[2] - d[1], t[3] = d[1] - d[3]; }
  static void output(const X* m, X* y) { y[0] = m[0] + m[1] + m[2], y[1] = m[1] - m[2] - m[3]; }
  static void output_adjoint(const X* y, X* t) { t[0] = y[0], t[1] = y[0] + y[1], t[2] = y[0] - y[1], t[3] = -y[1]; }
  static void weight(const X* g, X* u) {
    const X ends = times(0.5f, g[0] + g[2]), middle = times(0.5f, g[1]);
    u[0] = g[0], u[1] = ends + middle, u[2] = ends - middle, u[3] = g[2];
  }
  static void weight_adjoint(const X* u, X* g) {
    const X ends = times(0.5f, u[1] + u[2]);
    g[0] = u[0] + ends, g[1] = times(0.5f, u[1] - u[2]), g[2] = ends + u[3];
  }
};

template <typename V>
struct Winograd1d<V, 4> {
  using X = typename V::Vector;
  static X times(float a, X x) { return V::mul(V::broadcast(a), x); }
  static X plus(X y, float a, X x) { return V::fma(V::broadcast(a), x, y); }  // y + a x
  static void input(const X* d, X* t) {
    const X even = plus(d[4], -4, d[2]), odd = plus(d[3], -4, d[1]), e = d[4] - d[2], o = times(2, d[3] - d[1]);
    t[0] = plus(plus(d[4], -5, d[2]), 4, d[0]);
    t[1] = even + odd, t[2] = even - odd, t[3] = e + o, t[4] = e - o;
    t[5] = plus(plus(d[5], -5, d[3]), 4, d[1]);
  }
  static void output(const X* m, X* y) {
    const X a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4];
    y[0] = m[0] + a + c, y[1] = plus(b, 2, d), y[2] = plus(a, 4, c), y[3] = plus(b, 8, d) + m[5];
  }
  static void output_adjoint(const X* y, X* t) {
    const X a = y[0] + y[2], b = y[1] + y[3], c = plus(y[0], 4, y[2]), d = times(2, plus(y[1], 4, y[3]));
    t[0] = y[0], t[1] = a + b, t[2] = a - b, t[3] = c + d, t[4] = c - d, t[5] = y[3];
  }
  static void weight(const X* g, X* u) {
    const X a = times(-1.0f / 6, g[0] + g[2]), b = times(1.0f / 6, g[1]), c = plus(times(1.0f / 24, g[0]), 1.0f / 6, g[2]),
            d = times(1.0f / 12, g[1]);
    u[0] = times(0.25f, g[0]), u[1] = a - b, u[2] = a + b, u[3] = c + d, u[4] = c - d, u[5] = g[2];
  }
  static void weight_adjoint(const X* u, X* g) {
    const X a = u[1] + u[2], b = u[2] - u[1], c = u[3] + u[4], d = u[3] - u[4];
    g[0] = plus(plus(times(0.25f, u[0]), -1.0f / 6, a), 1.0f / 24, c);
    g[1] = plus(times(1.0f / 6, b), 1.0f / 12, d);
    g[2] = plus(plus(u[5], -1.0f / 6, a), 1.0f / 6, c);
  }
};

// out [kOut, kOut] of in [kIn, kIn]: f along the columns, then along the rows. read(i, j) gives the input, write(i, j, x) takes the output.
template <typename V, int kIn, int kOut, typename F, typename Read, typename Write>
__attribute__((always_inline)) inline void nest(const F& f, const Read& read, const Write& write) {
  using X = typename V::Vector;
  X half[kOut][kIn];
#pragma GCC unroll 8
  for (int j = 0; j < kIn; ++j) {
    X column[kIn], mapped[kOut];
#pragma GCC unroll 8
    for (int i = 0; i < kIn; ++i) column[i] = read(i, j);
    f(column, mapped);
#pragma GCC unroll 8
    for (int i = 0; i < kOut; ++i) half[i][j] = mapped[i];
  }
#pragma GCC unroll 8
  for (int i = 0; i < kOut; ++i) {
    X mapped[kOut];
    f(half[i], mapped);
#pragma GCC unroll 8
    for (int j = 0; j < kOut; ++j) write(i, j, mapped[j]);
  }
}

template <typename V, int kTile>
struct Winograd2d {
  using One = Winograd1d<V, kTile>;
  using X = typename V::Vector;
  static constexpr int kSize = kTile + 2;

  static void input(const float* window, int64_t pitch, int64_t n, float* out, int64_t frequency) {
    for (int64_t t = 0; t < n; ++t, window += kTile * kLanes, out += kLanes)
      for (int l = 0; l < kLanes; l += V::kWidth)
        nest<V, kSize, kSize>([](const X* x, X* y) { One::input(x, y); },
                              [&](int i, int j) { return V::load(window + i * pitch + j * kLanes + l); },
                              [&](int i, int j, X x) { V::store(out + (i * kSize + j) * frequency + l, x); });
  }
  static void output(const float* in, int64_t frequency, int64_t n, const float* bias, float* window, int64_t pitch) {
    for (int64_t t = 0; t < n; ++t, in += kLanes, window += kTile * kLanes)
      for (int l = 0; l < kLanes; l += V::kWidth)
        nest<V, kSize, kTile>([](const X* x, X* y) { One::output(x, y); },
                              [&](int i, int j) { return V::load(in + (i * kSize + j) * frequency + l); },
                              [&](int i, int j, X x) { V::store(window + i * pitch + j * kLanes + l, x + V::load(bias + l)); });
  }
  static void output_adjoint(const float* window, int64_t pitch, int64_t n, float* out, int64_t frequency) {
    for (int64_t t = 0; t < n; ++t, window += kTile * kLanes, out += kLanes)
      for (int l = 0; l < kLanes; l += V::kWidth)
        nest<V, kTile, kSize>([](const X* x, X* y) { One::output_adjoint(x, y); },
                              [&](int i, int j) { return V::load(window + i * pitch + j * kLanes + l); },
                              [&](int i, int j, X x) { V::store(out + (i * kSize + j) * frequency + l, x); });
  }
  static void weight(const float* taps, int64_t n, float* out, int64_t step, int64_t frequency) {
    for (int64_t t = 0; t < n; ++t, taps += 9 * kLanes, out += step)
      for (int l = 0; l < kLanes; l += V::kWidth)
        nest<V, 3, kSize>([](const X* x, X* y) { One::weight(x, y); },
                          [&](int i, int j) { return V::load(taps + (i * 3 + j) * kLanes + l); },
                          [&](int i, int j, X x) { V::store(out + (i * kSize + j) * frequency + l, x); });
  }
  static void weight_adjoint(const float* in, int64_t step, int64_t frequency, int64_t n, float* taps) {
    for (int64_t t = 0; t < n; ++t, in += step, taps += 9 * kLanes)
      for (int l = 0; l < kLanes; l += V::kWidth)
        nest<V, kSize, 3>([](const X* x, X* y) { One::weight_adjoint(x, y); },
                          [&](int i, int j) { return V::load(in + (i * kSize + j) * frequency + l); },
                          [&](int i, int j, X x) { V::store(taps + (i * 3 + j) * kLanes + l, x); });
  }
};

template <typename V, int kTile>
constexpr WinogradTransforms winograd_transforms() {
  using W = Winograd2d<V, kTile>;
  return {kTile, W::input, W::output, W::output_adjoint, W::weight, W::weight_adjoint};
}

}  // namespace plumb::conv
