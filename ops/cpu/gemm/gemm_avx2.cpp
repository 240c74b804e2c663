// AVX2 with FMA: 6 × 2 vectors of C fill 12 of the 16 registers; two hold a row of B, one an element of A.
#include "ops/cpu/gemm/kernels.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

#include "ops/cpu/gemm/tile.h"

namespace plumb::gemm {
namespace {

struct F32x8 {
  using Scalar = float;
  using Vector = __m256;
  static constexpr int kWidth = 8;
  static Vector load(const float* x) { return _mm256_loadu_ps(x); }
  static void store(float* x, Vector v) { _mm256_storeu_ps(x, v); }
  static Vector broadcast(float x) { return _mm256_set1_ps(x); }
  static Vector add(Vector x, Vector y) { return _mm256_add_ps(x, y); }
  static Vector fma(Vector x, Vector y, Vector z) { return _mm256_fmadd_ps(x, y, z); }
};

struct F64x4 {
  using Scalar = double;
  using Vector = __m256d;
  static constexpr int kWidth = 4;
  static Vector load(const double* x) { return _mm256_loadu_pd(x); }
  static void store(double* x, Vector v) { _mm256_storeu_pd(x, v); }
  static Vector broadcast(double x) { return _mm256_set1_pd(x); }
  static Vector add(Vector x, Vector y) { return _mm256_add_pd(x, y); }
  static Vector fma(Vector x, Vector y, Vector z) { return _mm256_fmadd_pd(x, y, z); }
};

constexpr Kernels<float> kF32{6, 16, multiply_panel<F32x8, 6, 2>};
constexpr Kernels<double> kF64{6, 8, multiply_panel<F64x4, 6, 2>};

bool supported() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

}  // namespace

template <>
const Kernels<float>* avx2_kernels<float>() {
  return supported() ? &kF32 : nullptr;
}
template <>
const Kernels<double>* avx2_kernels<double>() {
  return supported() ? &kF64 : nullptr;
}

}  // namespace plumb::gemm

#else

namespace plumb::gemm {
template <>
const Kernels<float>* avx2_kernels<float>() {
  return nullptr;
}
template <>
const Kernels<double>* avx2_kernels<double>() {
  return nullptr;
}
}  // namespace plumb::gemm

#endif
