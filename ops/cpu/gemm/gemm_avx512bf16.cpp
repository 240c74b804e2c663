// AVX-512 BF16: an instruction multiplies 16 pairs and adds both products of each to a float: s ← fma(a₀, b₀, fma(a₁, b₁, s)), the odd
// step first, rounded to nearest even twice, with subnormal inputs and results taken as zero. Twice the multiply-adds of AVX-512 in f32
// for an instruction, on the same tile. Compiled with these instructions; run only where the machine has them.
#include "ops/cpu/gemm/kernels.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>

#include "ops/cpu/gemm/tile.h"

namespace plumb::gemm {
namespace {

struct Bf16x32 {
  using Scalar = Bf16Pair;
  using Vector = __m512;  // 16 pairs, or 16 sums
  static constexpr int kWidth = 16;
  static Vector load(const Bf16Pair* x) { return _mm512_loadu_ps(x); }
  static Vector load(const float* x) { return _mm512_loadu_ps(x); }
  static void store(float* x, Vector v) { _mm512_storeu_ps(x, v); }
  static Vector broadcast(Bf16Pair x) { return _mm512_set1_ps(__builtin_bit_cast(float, x)); }
  static Vector add(Vector x, Vector y) { return _mm512_add_ps(x, y); }
  static Vector fma(Vector x, Vector y, Vector z) { return _mm512_dpbf16_ps(z, (__m512bh)x, (__m512bh)y); }
};

constexpr Kernels<Bf16Pair> kBf16{12, 32, multiply_panel<Bf16x32, 12, 2>};

}  // namespace

const Kernels<Bf16Pair>* avx512bf16_kernels() { return avx512_kernels<float>() && __builtin_cpu_supports("avx512bf16") ? &kBf16 : nullptr; }

}  // namespace plumb::gemm

#else

namespace plumb::gemm {
const Kernels<Bf16Pair>* avx512bf16_kernels() { return nullptr; }
}  // namespace plumb::gemm

#endif
