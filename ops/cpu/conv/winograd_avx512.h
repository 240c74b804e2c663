// What the kernels of Winograd's convolution for AVX-512 and for AVX-512 BF16 share. In a namespace without a name: each file has its own,
// as it has its own flags.
#pragma once
#include <immintrin.h>

namespace plumb::conv {
namespace {

struct F32x16 {
  using Vector = __m512;
  static constexpr int kWidth = 16;
  static Vector load(const float* x) { return _mm512_loadu_ps(x); }
  static void store(float* x, Vector v) { _mm512_storeu_ps(x, v); }
  static Vector broadcast(float x) { return _mm512_set1_ps(x); }
  static Vector mul(Vector x, Vector y) { return _mm512_mul_ps(x, y); }
  static Vector fma(Vector x, Vector y, Vector z) { return _mm512_fmadd_ps(x, y, z); }
};

// The forms with a mask, of which nothing is masked: GCC 12 warns of its own header's plain ones.
constexpr __mmask16 kAll = 0xffff;
__m512 low_of(__m512 x, __m512 y) { return _mm512_maskz_unpacklo_ps(kAll, x, y); }
__m512 high_of(__m512 x, __m512 y) { return _mm512_maskz_unpackhi_ps(kAll, x, y); }
template <int kPick>
__m512 values(__m512 x, __m512 y) { return _mm512_maskz_shuffle_ps(kAll, x, y, kPick); }
template <int kPick>
__m512 quarters(__m512 x, __m512 y) { return _mm512_maskz_shuffle_f32x4(kAll, x, y, kPick); }

// Pairs, then fours of neighbouring rows are woven together, which leaves 4 × 4 blocks to be put in their places.
template <typename Load, typename Store>
void transpose_registers(const Load& load, const Store& store) {
  __m512 a[16], b[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) a[i] = load(i);
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) b[i] = low_of(a[i], a[i + 1]), b[i + 1] = high_of(a[i], a[i + 1]);
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {  // a[i + k]: columns k, 4 + k, 8 + k, 12 + k of rows i … i + 3
    a[i] = values<0x44>(b[i], b[i + 2]), a[i + 1] = values<0xee>(b[i], b[i + 2]);
    a[i + 2] = values<0x44>(b[i + 1], b[i + 3]), a[i + 3] = values<0xee>(b[i + 1], b[i + 3]);
  }
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    const __m512 even = quarters<0x88>(a[k], a[4 + k]), odd = quarters<0xdd>(a[k], a[4 + k]);
    const __m512 even2 = quarters<0x88>(a[8 + k], a[12 + k]), odd2 = quarters<0xdd>(a[8 + k], a[12 + k]);
    store(k, quarters<0x88>(even, even2));
    store(4 + k, quarters<0x88>(odd, odd2));
    store(8 + k, quarters<0xdd>(even, even2));
    store(12 + k, quarters<0xdd>(odd, odd2));
  }
}

}  // namespace
}  // namespace plumb::conv
