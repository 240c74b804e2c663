// Running sums and linear recurrences on the CPU, accumulated in f64 (i64 for integers). A line is worked through in order; long lines
// are cut into blocks of fixed length whose totals are found first, so that threads share a line. Bytes: read x once (a long line
// twice), write y once. Bound: the latency of one addition an element where inner is 1, memory otherwise.
#include <vector>

#include "ops/cpu/strided_loop.h"
#include "ops/kernels/scan.h"

namespace plumb::cpu_kernels {
namespace {

constexpr int64_t kStrip = 64;          // inner columns that run side by side
constexpr int64_t kBlock = 1 << 15;     // elements of a long line between two known totals

template <typename S> using Accumulator = std::conditional_t<std::is_integral_v<S>, int64_t, double>;
template <typename S> Accumulator<S> load(S x) { return static_cast<Accumulator<S>>(static_cast<compute_t<S>>(x)); }
template <typename S> S store(Accumulator<S> v) { return static_cast<S>(static_cast<compute_t<S>>(v)); }

// Place t of n, in running order.
int64_t place(int64_t t, int64_t n, bool reverse) { return reverse ? n - 1 - t : t; }

template <bool product, typename A> A join(A a, A b) { return product ? a * b : a + b; }

// Steps [from, to) of a single line; starts from `running`, returns the last.
template <bool product, bool write, typename S>
Accumulator<S> run_line(const S* x, S* y, int64_t n, bool reverse, int64_t from, int64_t to, Accumulator<S> running) {
  for (int64_t t = from; t < to; ++t) {
    int64_t i = place(t, n, reverse);
    running = join<product>(running, load(x[i]));
    if constexpr (write) y[i] = store<S>(running);
  }
  return running;
}

template <bool product, typename S>
void run_long_line(const S* x, S* y, int64_t n, bool reverse) {
  int64_t blocks = (n + kBlock - 1) / kBlock;
  std::vector<Accumulator<S>> before(static_cast<size_t>(blocks), product);
  parallel_for(blocks - 1, 1, [&](int64_t b, int64_t e) {
    for (int64_t k = b; k < e; ++k)
      before[static_cast<size_t>(k + 1)] =
          run_line<product, false>(x, y, n, reverse, k * kBlock, (k + 1) * kBlock, Accumulator<S>(product));
  });
  for (size_t k = 1; k < before.size(); ++k) before[k] = join<product>(before[k - 1], before[k]);
  parallel_for(blocks, 1, [&](int64_t b, int64_t e) {
    for (int64_t k = b; k < e; ++k)
      run_line<product, true>(x, y, n, reverse, k * kBlock, std::min(n, (k + 1) * kBlock), before[static_cast<size_t>(k)]);
  });
}

// `width` neighbouring lines, `inner` apart from step to step.
template <bool product, typename S>
void run_strip(const S* x, S* y, int64_t n, int64_t inner, int64_t width, bool reverse) {
  Accumulator<S> running[kStrip];
  std::fill_n(running, width, Accumulator<S>(product));
  for (int64_t t = 0; t < n; ++t) {
    int64_t row = place(t, n, reverse) * inner;
    for (int64_t c = 0; c < width; ++c) {
      running[c] = join<product>(running[c], load(x[row + c]));
      y[row + c] = store<S>(running[c]);
    }
  }
}

// Calls strip(first element, width) for strips of lines that cover [outer, n, inner].
template <typename Strip>
void for_each_strip(int64_t outer, int64_t n, int64_t inner, Strip&& strip) {
  int64_t strips = (inner + kStrip - 1) / kStrip;
  parallel_for(outer * strips, std::max<int64_t>(1, kPointwiseGrain / std::max<int64_t>(1, n * std::min(inner, kStrip))),
               [&](int64_t b, int64_t e) {
                 for (int64_t task = b; task < e; ++task) {
                   int64_t column = task % strips * kStrip;
                   strip(task / strips * n * inner + column, std::min(kStrip, inner - column));
                 }
               });
}

template <bool product, typename S>
void cumulate_typed(const Tensor& x, bool reverse, Tensor& y) {
  int64_t outer = x.shape()[0], n = x.shape()[1], inner = x.shape()[2];
  const S* from = x.data<S>();
  S* to = y.data<S>();
  if (inner == 1 && n > 2 * kBlock) {
    for (int64_t o = 0; o < outer; ++o) run_long_line<product>(from + o * n, to + o * n, n, reverse);
    return;
  }
  for_each_strip(outer, n, inner, [&](int64_t at, int64_t width) { run_strip<product>(from + at, to + at, n, inner, width, reverse); });
}

void cumulate(const Tensor& x, bool product, bool reverse, Tensor& y) {
  auto run = [&]<typename S>() { product ? cumulate_typed<true, S>(x, reverse, y) : cumulate_typed<false, S>(x, reverse, y); };
  switch (x.dtype()) {
    case DType::i64: return run.operator()<int64_t>();
    default: return visit_floating("cumulate", x.dtype(), run);
  }
}

void linear_scan(const Tensor& a, const Tensor& b, bool reverse, Tensor& h) {
  int64_t outer = a.shape()[0], n = a.shape()[1], inner = a.shape()[2];
  visit_f32_f64("linear_scan", a.dtype(), [&]<typename S>() {
    const S *pa = a.data<S>(), *pb = b.data<S>();
    S* ph = h.data<S>();
    for_each_strip(outer, n, inner, [&](int64_t at, int64_t width) {
      double running[kStrip] = {};
      for (int64_t t = 0; t < n; ++t) {
        int64_t row = at + place(t, n, reverse) * inner;
        for (int64_t c = 0; c < width; ++c) {
          double factor = t == 0 ? 0 : static_cast<double>(pa[row + c]), carried = factor == 0 ? 0 : factor * running[c];  // not 0 · ∞
          running[c] = carried + static_cast<double>(pb[row + c]);
          ph[row + c] = static_cast<S>(running[c]);
        }
      }
    });
  });
}

}  // namespace

void register_scan() {
  kernel::cumulate.set(DeviceType::cpu, cumulate);
  kernel::linear_scan.set(DeviceType::cpu, linear_scan);
}

}  // namespace plumb::cpu_kernels
