// Winograd's convolution on AVX2 with FMA: 6 tiles × 16 channels of a product fill 12 of the 16 registers.
#include "ops/cpu/conv/winograd_kernels.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

#include "ops/cpu/conv/winograd_product.h"
#include "ops/cpu/conv/winograd_transform.h"

namespace plumb::conv {
namespace {

struct F32x8 {
  using Vector = __m256;
  static constexpr int kWidth = 8;
  static Vector load(const float* x) { return _mm256_loadu_ps(x); }
  static void store(float* x, Vector v) { _mm256_storeu_ps(x, v); }
  static Vector broadcast(float x) { return _mm256_set1_ps(x); }
  static Vector mul(Vector x, Vector y) { return _mm256_mul_ps(x, y); }
  static Vector fma(Vector x, Vector y, Vector z) { return _mm256_fmadd_ps(x, y, z); }
};

// 8 × 8 values at (row, column): pairs and fours of rows are woven together, then halves are exchanged.
void transpose_8(const float* const* from, float* const* to, int row, int column) {
  __m256 a[8], b[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) a[i] = _mm256_loadu_ps(from[row + i] + column);
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]), b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    a[i] = _mm256_shuffle_ps(b[i], b[i + 2], 0x44), a[i + 1] = _mm256_shuffle_ps(b[i], b[i + 2], 0xee);
    a[i + 2] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0x44), a[i + 3] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    _mm256_storeu_ps(to[column + k] + row, _mm256_permute2f128_ps(a[k], a[4 + k], 0x20));
    _mm256_storeu_ps(to[column + 4 + k] + row, _mm256_permute2f128_ps(a[k], a[4 + k], 0x31));
  }
}

void transpose(const float* const* from, float* const* to) {
  for (int row = 0; row < 16; row += 8)
    for (int column = 0; column < 16; column += 8) transpose_8(from, to, row, column);
}

constexpr WinogradKernels kKernels{16, winograd_transforms<F32x8, 2>(), winograd_transforms<F32x8, 4>(), winograd_multiply<F32x8, 6, 2>,
                                   winograd_multiply_adjoint<F32x8, 4, 2>, transpose};

}  // namespace

const WinogradKernels* avx2_winograd() { return &kKernels; }

}  // namespace plumb::conv

#else

namespace plumb::conv {
const WinogradKernels* avx2_winograd() { return nullptr; }
}  // namespace plumb::conv

#endif
