// Copies into panels: along contiguous lanes as they lie, along contiguous k by transposes in registers, else one by one.
#include "ops/cpu/gemm/pack.h"

#include <algorithm>
#include <cstring>

namespace plumb::gemm {
namespace {

template <typename C>
using Four __attribute__((vector_size(4 * sizeof(C)))) = C;

template <typename C, typename T>
Four<C> load_four(const T* x) {
  Four<C> v;
  if constexpr (std::is_same_v<C, T>)
    std::memcpy(&v, x, sizeof v);
  else
    for (int i = 0; i < 4; i++) v[i] = static_cast<C>(x[i]);
  return v;
}

// Four lanes, contiguous along k, k a multiple of four: a 4 × 4 transpose in registers for every four steps.
template <int kWidth, typename T, typename C>
void pack_four_lanes(int64_t k, const T* x, int64_t lane, C* packed) {
  for (int64_t p = 0; p < k; p += 4) {
    const Four<C> a = load_four<C>(x + p), b = load_four<C>(x + lane + p);
    const Four<C> c = load_four<C>(x + 2 * lane + p), d = load_four<C>(x + 3 * lane + p);
    const Four<C> ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const Four<C> cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    const Four<C> steps[4] = {__builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5), __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7),
                              __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5), __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7)};
    for (int i = 0; i < 4; i++) std::memcpy(packed + (p + i) * kWidth, &steps[i], sizeof steps[i]);
  }
}

template <int kWidth, int kLanes, typename T, typename C>
void pack_lanes(int64_t k, Strided<T> x, C* packed) {
  for (int64_t p = 0; p < k; p++)
    if (std::is_same_v<T, C> && x.lane == 1)
      std::memcpy(packed + p * kWidth, x.data + p * x.k, kLanes * sizeof(C));
    else
      for (int l = 0; l < kLanes; l++) packed[p * kWidth + l] = static_cast<C>(x.data[p * x.k + l * x.lane]);
}

// Lanes contiguous along k: a cache line of every lane, then the next, so that lines come and go whole however far the lanes lie apart.
template <int kWidth, typename T, typename C>
void pack_whole_panel(int64_t k, Strided<T> x, C* packed) {
  if (x.k != 1) return pack_lanes<kWidth, kWidth>(k, x, packed);
  constexpr int kFours = kWidth / 4 * 4;
  constexpr int64_t kSteps = 64 / sizeof(T);
  for (int64_t p = 0; p < k; p += kSteps) {
    const int64_t steps = std::min(kSteps, k - p), fours = steps / 4 * 4;
    C* const to = packed + p * kWidth;
    for (int l = 0; l < kFours; l += 4) {
      const T* const from = x.data + l * x.lane + p;
      if (p + 2 * kSteps < k)
        for (int i = 0; i < 4; i++) __builtin_prefetch(from + i * x.lane + 2 * kSteps, 0, 2);
      pack_four_lanes<kWidth>(fours, from, x.lane, to + l);
    }
    if (fours < steps) pack_lanes<kWidth, kFours>(steps - fours, Strided<T>{x.data + p + fours, x.lane, 1}, to + fours * kWidth);
    if constexpr (kFours < kWidth)
      pack_lanes<kWidth, kWidth - kFours>(steps, Strided<T>{x.data + kFours * x.lane + p, x.lane, 1}, to + kFours);
  }
}

template <int kWidth, typename T, typename C>
void pack_part_panel(int64_t lanes, int64_t k, Strided<T> x, C* packed) {
  std::fill_n(packed, k * kWidth, C(0));
  for (int64_t l = 0; l < lanes; l++)
    for (int64_t p = 0; p < k; p++) packed[p * kWidth + l] = static_cast<C>(x.data[p * x.k + l * x.lane]);
}

// Lanes contiguous: a few steps of k for all panels, then the next few, because a step is a row of memory far from the next one. The rows
// of the next steps are called for meanwhile: no hardware guesses a row a page away.
template <int kWidth, typename T, typename C>
void pack_rows(int64_t panels, int64_t k, Strided<T> x, C* packed) {
  constexpr int64_t kSteps = 16, kLine = 64 / sizeof(T);
  for (int64_t p = 0; p < k; p += kSteps)
    for (int64_t q = 0; q < panels; q++) {
      const T* const from = x.data + p * x.k + q * kWidth;
      const int64_t steps = std::min(kSteps, k - p), ahead = std::min(2 * kSteps, k - p);
      for (int64_t s = kSteps; s < ahead; s++)
        for (int64_t l = 0; l < kWidth; l += kLine) __builtin_prefetch(from + s * x.k + l, 0, 2);
      pack_lanes<kWidth, kWidth>(steps, Strided<T>{from, 1, x.k}, packed + (q * k + p) * kWidth);
    }
}

template <int kWidth, typename T, typename C>
void pack(int64_t lanes, int64_t k, Strided<T> x, C* packed) {
  const int64_t whole = lanes / kWidth, rest = lanes - whole * kWidth;
  if (x.lane == 1)
    pack_rows<kWidth>(whole, k, x, packed);
  else
    for (int64_t q = 0; q < whole; q++)
      pack_whole_panel<kWidth>(k, Strided<T>{x.data + q * kWidth * x.lane, x.lane, x.k}, packed + q * kWidth * k);
  if (rest > 0) pack_part_panel<kWidth>(rest, k, Strided<T>{x.data + whole * kWidth * x.lane, x.lane, x.k}, packed + whole * kWidth * k);
}

}  // namespace

template <typename T>
void pack_panels(int width, int64_t lanes, int64_t k, Strided<T> x, Accumulator<T>* packed) {
  switch (width) {
    case 4:
      return pack<4>(lanes, k, x, packed);
    case 6:
      return pack<6>(lanes, k, x, packed);
    case 8:
      return pack<8>(lanes, k, x, packed);
    case 12:
      return pack<12>(lanes, k, x, packed);
    case 16:
      return pack<16>(lanes, k, x, packed);
    case 32:
      return pack<32>(lanes, k, x, packed);
  }
}

template void pack_panels(int, int64_t, int64_t, Strided<float>, float*);
template void pack_panels(int, int64_t, int64_t, Strided<double>, double*);
template void pack_panels(int, int64_t, int64_t, Strided<bfloat16>, float*);
template void pack_panels(int, int64_t, int64_t, Strided<half>, float*);

}  // namespace plumb::gemm
