// Rounding to small floating-point formats on the CPU. Bytes: read x, write y. Bound: memory.
#include "ops/minifloat_functions.h"

#include "engine/core/parallel.h"
#include "ops/kernels/minifloat.h"

namespace plumb::cpu_kernels {
namespace {

void round_minifloat(const Tensor& x, int mantissa_bits, int least_exponent, double largest, double beyond, Tensor& y) {
  visit_floating("round_to_minifloat", x.dtype(), [&]<typename T>() {
    const T* in = x.data<T>();
    T* out = y.data<T>();
    parallel_for(x.numel(), 8192, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        out[i] = static_cast<T>(static_cast<compute_t<T>>(
            minifloat::rounded(static_cast<double>(static_cast<compute_t<T>>(in[i])), mantissa_bits, least_exponent, largest, beyond)));
    });
  });
}

}  // namespace

void register_minifloat() { kernel::round_minifloat.set(DeviceType::cpu, round_minifloat); }

}  // namespace plumb::cpu_kernels
