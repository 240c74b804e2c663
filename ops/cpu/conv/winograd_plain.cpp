// Winograd's convolution for any machine, in vectors of 16 bytes; on products that are not fused see ops/cpu/gemm/gemm_plain.cpp.
#include <cmath>
#include <cstring>

#include "ops/cpu/conv/winograd_product.h"
#include "ops/cpu/conv/winograd_transform.h"

namespace plumb::conv {
namespace {

struct F32x4 {
  typedef float Vector __attribute__((vector_size(16)));
  static constexpr int kWidth = 4;
  static Vector load(const float* x) {
    Vector v;
    std::memcpy(&v, x, sizeof v);
    return v;
  }
  static void store(float* x, Vector v) { std::memcpy(x, &v, sizeof v); }
  static Vector broadcast(float x) { return x - Vector{}; }
  static Vector mul(Vector x, Vector y) { return x * y; }
  static Vector fma(Vector x, Vector y, Vector z) {
#ifdef __FP_FAST_FMA
    for (int i = 0; i < kWidth; i++) z[i] = std::fma(x[i], y[i], z[i]);
    return z;
#else
    return x * y + z;
#endif
  }
};

void transpose(const float* const* from, float* const* to) {
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 16; ++j) to[j][i] = from[i][j];
}

constexpr WinogradKernels kKernels{16, winograd_transforms<F32x4, 2>(), winograd_transforms<F32x4, 4>(), winograd_multiply<F32x4, 2, 4>,
                                   winograd_multiply_adjoint<F32x4, 2, 4>, transpose};

}  // namespace

const WinogradKernels* plain_winograd() { return &kKernels; }

}  // namespace plumb::conv
