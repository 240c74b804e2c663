// AVX-512: 12 × 2 vectors of C fill 24 of the 32 registers. Compiled for x86-64-v4; run only where the machine has it.
#include "ops/cpu/gemm/kernels.h"

#if defined(__AVX512F__)
#include <immintrin.h>

#include "ops/cpu/gemm/tile.h"

namespace plumb::gemm {
namespace {

struct F32x16 {
  using Scalar = float;
  using Vector = __m512;
  static constexpr int kWidth = 16;
  static Vector load(const float* x) { return _mm512_loadu_ps(x); }
  static void store(float* x, Vector v) { _mm512_storeu_ps(x, v); }
  static Vector broadcast(float x) { return _mm512_set1_ps(x); }
  static Vector add(Vector x, Vector y) { return _mm512_add_ps(x, y); }
  static Vector fma(Vector x, Vector y, Vector z) { return _mm512_fmadd_ps(x, y, z); }
};

struct F64x8 {
  using Scalar = double;
  using Vector = __m512d;
  static constexpr int kWidth = 8;
  static Vector load(const double* x) { return _mm512_loadu_pd(x); }
  static void store(double* x, Vector v) { _mm512_storeu_pd(x, v); }
  static Vector broadcast(double x) { return _mm512_set1_pd(x); }
  static Vector add(Vector x, Vector y) { return _mm512_add_pd(x, y); }
  static Vector fma(Vector x, Vector y, Vector z) { return _mm512_fmadd_pd(x, y, z); }
};

constexpr Kernels<float> kF32{12, 32, multiply_panel<F32x16, 12, 2>};
constexpr Kernels<double> kF64{12, 16, multiply_panel<F64x8, 12, 2>};

bool supported() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq");
}

}  // namespace

template <>
const Kernels<float>* avx512_kernels<float>() {
  return supported() ? &kF32 : nullptr;
}
template <>
const Kernels<double>* avx512_kernels<double>() {
  return supported() ? &kF64 : nullptr;
}

}  // namespace plumb::gemm

#else

namespace plumb::gemm {
template <>
const Kernels<float>* avx512_kernels<float>() {
  return nullptr;
}
template <>
const Kernels<double>* avx512_kernels<double>() {
  return nullptr;
}
}  // namespace plumb::gemm

#endif
