// Winograd's convolution on AVX-512: 12 tiles × 32 channels of a product fill 24 of the 32 registers.
#include "ops/cpu/conv/winograd_kernels.h"

#if defined(__AVX512F__)
#include <immintrin.h>

#include "ops/cpu/conv/winograd_avx512.h"
#include "ops/cpu/conv/winograd_product.h"
#include "ops/cpu/conv/winograd_transform.h"

namespace plumb::conv {
namespace {

void transpose(const float* const* from, float* const* to) {
  transpose_registers([&](int i) { return F32x16::load(from[i]); }, [&](int i, __m512 x) { F32x16::store(to[i], x); });
}

constexpr WinogradKernels kKernels{32, winograd_transforms<F32x16, 2>(), winograd_transforms<F32x16, 4>(), winograd_multiply<F32x16, 12, 2>,
                                   winograd_multiply_adjoint<F32x16, 8, 2>, transpose};

}  // namespace

const WinogradKernels* avx512_winograd() { return &kKernels; }

}  // namespace plumb::conv

#else

namespace plumb::conv {
const WinogradKernels* avx512_winograd() { return nullptr; }
}  // namespace plumb::conv

#endif
