// The largest or smallest element and its place, on the CPU. A row is swept twice, for the value and then for its first place, so that
// both sweeps vectorise and the second stops early. Bytes: read x once (the row stays in cache). Bound: memory.
#include <limits>

#include "ops/cpu/strided_loop.h"
#include "ops/kernels/reduce.h"

namespace plumb::cpu_kernels {
namespace {

template <bool largest, typename T> bool beats(T a, T b) { return largest ? a > b : a < b; }

template <bool largest, typename T>
T best_of_row(const T* x, int64_t n) {
  constexpr int64_t kLanes = 32;
  T best[kLanes];
  std::fill_n(best, kLanes, x[0]);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t j = 0; j < kLanes; ++j) best[j] = beats<largest>(x[i + j], best[j]) ? x[i + j] : best[j];
  for (; i < n; ++i) best[0] = beats<largest>(x[i], best[0]) ? x[i] : best[0];
  for (int64_t j = 1; j < kLanes; ++j) best[0] = beats<largest>(best[j], best[0]) ? best[j] : best[0];
  return best[0];
}

template <typename T>
bool any_nan(const T* x, int64_t n) {
  if constexpr (!std::is_floating_point_v<T>) return false;
  bool nan = false;
  for (int64_t i = 0; i < n; ++i) nan |= x[i] != x[i];
  return nan;
}

template <bool largest, typename T>
int64_t place_in_row(const T* x, int64_t n) {
  if (any_nan(x, n)) return std::find_if(x, x + n, [](T v) { return v != v; }) - x;
  return std::find(x, x + n, best_of_row<largest>(x, n)) - x;
}

// Rows of T, whatever they are stored as: 16-bit ones are converted into a buffer first.
template <bool largest, typename S>
void by_rows(const S* x, int64_t rows, int64_t n, S* values, int64_t* indices) {
  using T = compute_t<S>;
  parallel_for(rows, std::max<int64_t>(1, kPointwiseGrain / n), [&](int64_t begin, int64_t end) {
    Tensor converted = std::is_same_v<S, T> ? Tensor() : empty({n}, dtype_of<T>(), cpu, "extremum");
    for (int64_t r = begin; r < end; ++r) {
      const S* row = x + r * n;
      if constexpr (std::is_same_v<S, T>) {
        indices[r] = place_in_row<largest>(row, n);
      } else {
        load_chunk<S, T>(reinterpret_cast<const std::byte*>(row), sizeof(S), n, converted.data<T>());
        indices[r] = place_in_row<largest>(converted.data<T>(), n);
      }
      values[r] = row[indices[r]];
    }
  });
}

// Columns [c, c + width) of one [n, inner] plane, side by side.
template <bool largest, typename S>
void strip(const S* x, int64_t n, int64_t inner, int64_t width, S* values, int64_t* indices) {
  using T = compute_t<S>;
  constexpr int64_t kStrip = 64;
  T best[kStrip];
  int64_t at[kStrip] = {};
  for (int64_t c = 0; c < width; ++c) best[c] = static_cast<T>(x[c]);
  for (int64_t t = 1; t < n; ++t)
    for (int64_t c = 0; c < width; ++c) {
      T v = static_cast<T>(x[t * inner + c]);
      bool wins = beats<largest>(v, best[c]) || (v != v && best[c] == best[c]);
      best[c] = wins ? v : best[c];
      at[c] = wins ? t : at[c];
    }
  for (int64_t c = 0; c < width; ++c) {
    indices[c] = at[c];
    values[c] = x[at[c] * inner + c];
  }
}

template <bool largest, typename S>
void extremum_typed(const Tensor& input, Tensor& values, Tensor& indices) {
  int64_t outer = input.shape()[0], n = input.shape()[1], inner = input.shape()[2], strips = (inner + 63) / 64;
  const S* x = input.data<S>();
  S* v = values.data<S>();
  auto* places = indices.data<int64_t>();
  if (inner == 1) return by_rows<largest>(x, outer, n, v, places);
  parallel_for(outer * strips, std::max<int64_t>(1, kPointwiseGrain / (n * std::min<int64_t>(inner, 64))), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      int64_t plane = task / strips, c = task % strips * 64, to = plane * inner + c;
      strip<largest>(x + plane * n * inner + c, n, inner, std::min<int64_t>(64, inner - c), v + to, places + to);
    }
  });
}

void extremum(bool largest, const Tensor& x, Tensor& values, Tensor& indices) {
  visit_dtype(x.dtype(), [&]<typename S>() {
    if constexpr (std::is_same_v<S, bool>) unsupported_dtype("extremum", boolean);
    else largest ? extremum_typed<true, S>(x, values, indices) : extremum_typed<false, S>(x, values, indices);
  });
}

}  // namespace

void register_extremum() { kernel::extremum.set(DeviceType::cpu, extremum); }

}  // namespace plumb::cpu_kernels
