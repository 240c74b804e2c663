// Copies of bf16 into panels of pairs: along contiguous k a pair is four bytes as they lie, and panels are transposes of those in
// registers; along contiguous lanes the rows of two steps are interleaved.
#include <algorithm>
#include <cstring>

#include "ops/cpu/gemm/pack.h"

namespace plumb::gemm {
namespace {

using Four __attribute__((vector_size(16))) = uint32_t;
using Eight __attribute__((vector_size(16))) = uint16_t;

template <typename V>
V load(const bfloat16* x) {
  V v;
  std::memcpy(&v, x, sizeof v);
  return v;
}

// Four lanes, contiguous along k: a 4 × 4 transpose of pairs for every eight steps.
template <int kWidth>
void pack_four_lanes(int64_t pairs, const bfloat16* x, int64_t lane, Bf16Pair* packed) {
  for (int64_t p = 0; p + 4 <= pairs; p += 4) {
    const Four a = load<Four>(x + 2 * p), b = load<Four>(x + lane + 2 * p);
    const Four c = load<Four>(x + 2 * lane + 2 * p), d = load<Four>(x + 3 * lane + 2 * p);
    const Four ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const Four cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    const Four steps[4] = {__builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5), __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7),
                           __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5), __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7)};
    for (int i = 0; i < 4; i++) std::memcpy(packed + (p + i) * kWidth, &steps[i], sizeof steps[i]);
  }
}

// Lanes [0, lanes) of the pairs [begin, ⌈k/2⌉), one by one.
template <int kWidth>
void pack_each(int64_t lanes, int64_t begin, int64_t k, Strided<bfloat16> x, Bf16Pair* packed) {
  for (int64_t p = begin; 2 * p < k; p++)
    for (int64_t l = 0; l < lanes; l++) {
      const bfloat16* from = x.data + l * x.lane + 2 * p * x.k;
      packed[p * kWidth + l] = {from[0].bits, 2 * p + 1 < k ? from[x.k].bits : uint16_t{0}};
    }
}

// The pairs [begin, end) of a whole panel whose lanes are contiguous.
template <int kWidth>
void interleave(int64_t begin, int64_t end, const bfloat16* x, int64_t step, Bf16Pair* packed) {
  for (int64_t p = begin; p < end; p++) {
    const bfloat16 *even = x + 2 * p * step, *odd = even + step;
    Bf16Pair* const out = packed + p * kWidth;
    int l = 0;
    for (; l + 8 <= kWidth; l += 8) {
      const Eight a = load<Eight>(even + l), b = load<Eight>(odd + l);
      const Eight low = __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11),
                  high = __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
      std::memcpy(out + l, &low, sizeof low);
      std::memcpy(out + l + 4, &high, sizeof high);
    }
    for (; l < kWidth; l++) out[l] = {even[l].bits, odd[l].bits};
  }
}

template <int kWidth>
void pack_whole_panel(int64_t k, Strided<bfloat16> x, Bf16Pair* packed) {
  if (x.k != 1) return pack_each<kWidth>(kWidth, 0, k, x, packed);
  for (int l = 0; l < kWidth; l += 4) pack_four_lanes<kWidth>(k / 2, x.data + l * x.lane, x.lane, packed + l);
  pack_each<kWidth>(kWidth, k / 8 * 4, k, x, packed);
}

// Lanes contiguous: a few pairs for all panels, then the next few, because a step is a row of memory far from the next one.
template <int kWidth>
void pack_rows(int64_t panels, int64_t k, Strided<bfloat16> x, Bf16Pair* packed) {
  constexpr int64_t kPairs = 8;
  const int64_t whole = k / 2, all = (k + 1) / 2;
  for (int64_t p = 0; p < whole; p += kPairs)
    for (int64_t q = 0; q < panels; q++)
      interleave<kWidth>(p, std::min(whole, p + kPairs), x.data + q * kWidth, x.k, packed + q * all * kWidth);
  for (int64_t q = 0; q < panels; q++) pack_each<kWidth>(kWidth, whole, k, {x.data + q * kWidth, 1, x.k}, packed + q * all * kWidth);
}

template <int kWidth>
void pack(int64_t lanes, int64_t k, Strided<bfloat16> x, Bf16Pair* packed) {
  const int64_t whole = lanes / kWidth, rest = lanes - whole * kWidth, panel = (k + 1) / 2 * kWidth;
  if (x.lane == 1)
    pack_rows<kWidth>(whole, k, x, packed);
  else
    for (int64_t q = 0; q < whole; q++) pack_whole_panel<kWidth>(k, {x.data + q * kWidth * x.lane, x.lane, x.k}, packed + q * panel);
  if (rest == 0) return;
  std::fill_n(packed + whole * panel, panel, Bf16Pair{});
  pack_each<kWidth>(rest, 0, k, {x.data + whole * kWidth * x.lane, x.lane, x.k}, packed + whole * panel);
}

}  // namespace

void pack_panels(int width, int64_t lanes, int64_t k, Strided<bfloat16> x, Bf16Pair* packed) {
  width == 12 ? pack<12>(lanes, k, x, packed) : pack<32>(lanes, k, x, packed);
}

}  // namespace plumb::gemm
