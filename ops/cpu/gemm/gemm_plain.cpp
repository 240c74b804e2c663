// For any machine: the same tile in vectors of 16 bytes, as the compiler maps them. Where the target has no fused multiply-add,
// products are rounded before they are added, and results differ in the last bits from those of the other kernels.
#include <cmath>
#include <cstring>

#include "ops/cpu/gemm/tile.h"

namespace plumb::gemm {
namespace {

template <typename T>
struct Plain {
  using Scalar = T;
  static constexpr int kWidth = 16 / sizeof(T);
  typedef T Vector __attribute__((vector_size(16)));
  static Vector load(const T* x) {
    Vector v;
    std::memcpy(&v, x, sizeof v);
    return v;
  }
  static void store(T* x, Vector v) { std::memcpy(x, &v, sizeof v); }
  static Vector broadcast(T x) { return x - Vector{}; }
  static Vector add(Vector x, Vector y) { return x + y; }
  static Vector fma(Vector x, Vector y, Vector z) {
#ifdef __FP_FAST_FMA
    for (int i = 0; i < kWidth; i++) z[i] = std::fma(x[i], y[i], z[i]);
    return z;
#else
    return x * y + z;
#endif
  }
};

constexpr Kernels<float> kF32{4, 8, multiply_panel<Plain<float>, 4, 2>};
constexpr Kernels<double> kF64{4, 4, multiply_panel<Plain<double>, 4, 2>};

}  // namespace

template <>
const Kernels<float>* plain_kernels<float>() {
  return &kF32;
}
template <>
const Kernels<double>* plain_kernels<double>() {
  return &kF64;
}

}  // namespace plumb::gemm
