// Rounding to small floating-point formats on the GPU, by the CPU's own function. Bytes: read x, write y. Bound: memory.
#include "ops/minifloat_functions.h"

#include "cuda/kernels/elementwise.h"
#include "ops/kernels/minifloat.h"

namespace plumb::cuda_backend {
namespace {

struct Minifloat {
  int mantissa_bits, least_exponent;
  double largest, beyond;
  template <typename C>
  __device__ C operator()(C x) const {
    return static_cast<C>(minifloat::rounded(static_cast<double>(x), mantissa_bits, least_exponent, largest, beyond));
  }
};

void round_minifloat(const Tensor& x, int mantissa_bits, int least_exponent, double largest, double beyond, Tensor& y) {
  visit_floating("round_to_minifloat", x.dtype(), [&]<typename T>() {
    elementwise<T, T>(Minifloat{mantissa_bits, least_exponent, largest, beyond}, y, x);
  });
}

}  // namespace

void register_minifloat() { kernel::round_minifloat.set(DeviceType::cuda, round_minifloat); }

}  // namespace plumb::cuda_backend
