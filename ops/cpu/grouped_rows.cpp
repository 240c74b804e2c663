// Rows that go to places and come back, on the CPU: a thread takes whole rows, so results do not depend on how many there are.
// Bytes: each row once on either side. Bound: memory.
#include <algorithm>
#include <vector>

#include "engine/core/data_kernels.h"
#include "engine/core/parallel.h"
#include "ops/cpu/rows.h"
#include "ops/kernels/grouped_rows.h"

namespace plumb::cpu_kernels {
namespace {

void group_by(const Tensor& label, Tensor& order, Tensor& place, Tensor& offsets) {
  const int64_t n = label.numel(), groups = offsets.numel() - 1, *of = label.data<int64_t>();
  int64_t *start = offsets.data<int64_t>(), *number = place.data<int64_t>(), *ordered = order.data<int64_t>();
  std::fill_n(start, groups + 1, int64_t{0});
  for (int64_t i = 0; i < n; ++i) number[i] = start[of[i] + 1]++;  // among those of its group
  for (int64_t g = 0; g < groups; ++g) start[g + 1] += start[g];
  for (int64_t i = 0; i < n; ++i) ordered[number[i] += start[of[i]]] = i;
}

// body(begin, end) for all N, in shares worth a thread's while.
template <typename F>
void for_rows(const Tensor& place, int64_t width, F&& body) {
  const int64_t each = std::max<int64_t>(1, place.shape()[1] * width);
  parallel_for(place.shape()[0], std::max<int64_t>(1, 16384 / each), body);
}

// body(n, its k places) for each of them.
template <typename F>
void for_places(const Tensor& place, int64_t width, F&& body) {
  const int64_t k = place.shape()[1], *at = place.data<int64_t>();
  for_rows(place, width, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) body(n, at + n * k, at + (n + 1) * k);
  });
}

// sums += by · row
template <typename X, typename C>
void add_row(int64_t width, C by, const X* row, C* sums) {
  for (int64_t i = 0; i < width; ++i) sums[i] += by * static_cast<C>(row[i]);
}

// Rows of two types are seldom met on the CPU and copied to f32, rather than every pair of types compiled.
Tensor in_f32(const Tensor& x) {
  if (x.dtype() == f32) return x;
  Tensor wide = empty(x.shape(), f32, cpu, "grouped_rows");
  kernel::copy(cpu, x, wide);
  return wide;
}

// Calls move(rows of x, rows of out) with both in one type.
template <typename F>
void in_one_type(const Tensor& x, Tensor& out, const F& move) {
  if (x.dtype() == out.dtype()) return move(x, out);
  Tensor wide = out.dtype() == f32 ? out : empty(out.shape(), f32, cpu, "grouped_rows");
  move(in_f32(x), wide);
  if (out.dtype() != f32) kernel::copy(cpu, wide, out);
}

template <typename T>
const compute_t<T>* weights_of(const Tensor& weight) {
  return weight.defined() ? weight.data<compute_t<T>>() : nullptr;
}

void spread_rows(const Tensor& input, const Tensor& place, const Tensor& weight, Tensor& output) {
  in_one_type(input, output, [&](const Tensor& x, Tensor& out) {
    const int64_t width = x.shape()[1];
    visit_floating("spread_rows", x.dtype(), [&]<typename T>() {
      using C = compute_t<T>;
      const T* from = x.data<T>();
      T* to = out.data<T>();
      const C* w = weights_of<T>(weight);
      for_places(place, width, [&](int64_t n, const int64_t* p, const int64_t* end) {
        for (; p < end; ++p) {
          if (*p < 0) continue;
          const C by = w ? w[*p] : C(1);
          for (int64_t i = 0; i < width; ++i) to[*p * width + i] = static_cast<T>(by * static_cast<C>(from[n * width + i]));
        }
      });
    });
  });
}

void join_rows(const Tensor& input, const Tensor& place, const Tensor& weight, Tensor& output) {
  in_one_type(input, output, [&](const Tensor& x, Tensor& out) {
    const int64_t width = x.shape()[1], k = place.shape()[1], *at = place.data<int64_t>();
    visit_floating("join_rows", x.dtype(), [&]<typename T>() {
      using C = compute_t<T>;
      const T* from = x.data<T>();
      T* to = out.data<T>();
      const C* w = weights_of<T>(weight);
      for_rows(place, width, [&](int64_t begin, int64_t end) {
        std::vector<C> sums(static_cast<size_t>(width));
        for (int64_t n = begin; n < end; ++n) {
          std::fill(sums.begin(), sums.end(), C(0));
          for (const int64_t* p = at + n * k; p < at + (n + 1) * k; ++p)
            if (*p >= 0) add_row(width, w ? w[*p] : C(1), from + *p * width, sums.data());
          for (int64_t i = 0; i < width; ++i) to[n * width + i] = static_cast<T>(sums[static_cast<size_t>(i)]);
        }
      });
    });
  });
}

void row_dots(const Tensor& x, const Tensor& y, const Tensor& place, Tensor& out) {
  if (x.dtype() != y.dtype()) return row_dots(in_f32(x), in_f32(y), place, out);
  const int64_t width = x.shape()[1];
  visit_floating("row_dots", x.dtype(), [&]<typename T>() {
    using C = compute_t<T>;
    C* to = out.data<C>();
    for_places(place, width, [&](int64_t n, const int64_t* p, const int64_t* end) {
      for (; p < end; ++p) {
        if (*p < 0) continue;
        const T *left = x.data<T>() + n * width, *right = y.data<T>() + *p * width;
        to[*p] = lane_sum<C>(width, [=](int64_t i) { return static_cast<C>(left[i]) * static_cast<C>(right[i]); });
      }
    });
  });
}

}  // namespace

void register_grouped_rows() {
  kernel::group_by.set(DeviceType::cpu, group_by);
  kernel::spread_rows.set(DeviceType::cpu, spread_rows);
  kernel::join_rows.set(DeviceType::cpu, join_rows);
  kernel::row_dots.set(DeviceType::cpu, row_dots);
}

}  // namespace plumb::cpu_kernels
