// Winograd's convolution of bf16 on AVX-512 BF16: transforms in f32, rounded to bf16 as they are stored, and products of pairs of channels,
// or of tiles, that are summed in f32.
#include "ops/cpu/conv/winograd_kernels.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>

#include "ops/cpu/conv/winograd_avx512.h"
#include "ops/cpu/conv/winograd_product.h"
#include "ops/cpu/conv/winograd_transform.h"

namespace plumb::conv {
namespace {

__m256i rounded(__m512 x) { return (__m256i)_mm512_cvtneps_pbh(x); }
__m512i upper_halves(__m512i x) { return _mm512_maskz_slli_epi32(kAll, x, 16); }
__m512i lower_halves(__m256i x) { return _mm512_maskz_cvtepu16_epi32(kAll, x); }
// 16 pairs of neighbours from 16 first and 16 second values.
__m512 pairs_of(__m256i even, __m256i odd) {
  return _mm512_castsi512_ps(_mm512_or_si512(lower_halves(even), upper_halves(lower_halves(odd))));
}
__m256i load_bf16(const void* x) { return _mm256_loadu_si256(static_cast<const __m256i*>(x)); }
void store_bf16(void* to, __m256i x) { _mm256_storeu_si256(static_cast<__m256i*>(to), x); }

// For the transforms: as F32x16, but stores round to bf16, into the first half of 16 floats.
struct RoundedF32x16 : F32x16 {
  static void store(float* x, Vector v) { store_bf16(x, rounded(v)); }
};

// For the products: 16 pairs that lie in 16 floats, and 16 sums.
struct Bf16x32 : F32x16 {
  static Vector fma(Vector x, Vector y, Vector z) { return _mm512_dpbf16_ps(z, (__m512bh)x, (__m512bh)y); }
};

// G g Gᵀ of two neighbouring input channels, rounded and side by side in one row.
void weight(const float* taps, int64_t n, float* out, int64_t step, int64_t frequency) {
  constexpr int64_t kFrequencies = 16;
  alignas(64) float u[2 * kFrequencies * kLanes];
  for (int64_t i = 0; i < n; i += 2, taps += 2 * 9 * kLanes, out += step) {
    Winograd2d<F32x16, 2>::weight(taps, 2, u, kFrequencies * kLanes, kLanes);
    for (int64_t f = 0; f < kFrequencies; ++f)
      F32x16::store(out + f * frequency,
                    pairs_of(rounded(F32x16::load(u + f * kLanes)), rounded(F32x16::load(u + (kFrequencies + f) * kLanes))));
  }
}

// Tiles [blocks, tiles, 16] of bf16 become pairs of tiles where they lie: pair i takes the place of tile i, the last one's partner is zero.
void pair_tiles(float* x, int64_t blocks, int64_t tiles) {
  for (int64_t b = 0; b < blocks; ++b, x += tiles * kLanes)
    for (int64_t t = 0; t < tiles; t += 2) {
      const __m256i even = load_bf16(x + t * kLanes), odd = t + 1 < tiles ? load_bf16(x + (t + 1) * kLanes) : _mm256_setzero_si256();
      F32x16::store(x + t / 2 * kLanes, pairs_of(even, odd));
    }
}

constexpr int kColumns = 32;

void multiply_adjoint(const WinogradAdjoint& p) {
  pair_tiles(p.v, p.blocks, p.tiles);
  pair_tiles(p.d, p.panels * (kColumns / kLanes), p.tiles);
  winograd_multiply_steps<Bf16x32, 8, 2>(p, (p.tiles + 1) / 2);
}

void transpose(const float* const* from, float* const* to) {
  transpose_registers([&](int i) { return F32x16::load(from[i]); }, [&](int i, __m512 x) { F32x16::store(to[i], x); });
}
void transpose_bf16(const bfloat16* const* from, float* const* to) {
  transpose_registers([&](int i) { return _mm512_castsi512_ps(upper_halves(lower_halves(load_bf16(from[i])))); },
                      [&](int i, __m512 x) { F32x16::store(to[i], x); });
}
void transpose_to_bf16(const float* const* from, bfloat16* const* to) {
  transpose_registers([&](int i) { return F32x16::load(from[i]); }, [&](int i, __m512 x) { store_bf16(to[i], rounded(x)); });
}

using Rounded = Winograd2d<RoundedF32x16, 2>;
using Whole = Winograd2d<F32x16, 2>;
constexpr WinogradTransforms kTwo{2, Rounded::input, Whole::output, Rounded::output_adjoint, weight, Whole::weight_adjoint};
constexpr WinogradKernels kKernels{kColumns,         kTwo,      kTwo,           winograd_multiply<Bf16x32, 12, 2, 8>,
                                   multiply_adjoint, transpose, transpose_bf16, transpose_to_bf16};

}  // namespace

const WinogradKernels* avx512bf16_winograd() { return &kKernels; }

}  // namespace plumb::conv

#else

namespace plumb::conv {
const WinogradKernels* avx512bf16_winograd() { return nullptr; }
}  // namespace plumb::conv

#endif
