// Rounding to small floating-point formats on the CPU. The step of an element is a power of two read off its exponent's bits, so division
// and product by it are exact. Bytes: read x, write y. Bound: memory.
#include "ops/kernels/minifloat.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "engine/core/parallel.h"

namespace plumb::cpu_kernels {
namespace {

double power_of_two(int exponent) { return std::bit_cast<double>(static_cast<uint64_t>(exponent + 1023) << 52); }

double rounded(double x, int mantissa_bits, int least_exponent, double largest, double beyond) {
  if (std::isnan(x)) return x;
  if (std::abs(x) >= 2 * largest) return std::copysign(beyond, x);
  int exponent = static_cast<int>(std::bit_cast<uint64_t>(x) >> 52 & 0x7ff) - 1023;
  int step = std::max(exponent, least_exponent) - mantissa_bits;
  double y = std::nearbyint(x * power_of_two(-step)) * power_of_two(step);
  return std::abs(y) > largest ? std::copysign(beyond, x) : y;
}

void round_minifloat(const Tensor& x, int mantissa_bits, int least_exponent, double largest, double beyond, Tensor& y) {
  visit_floating("round_to_minifloat", x.dtype(), [&]<typename T>() {
    const T* in = x.data<T>();
    T* out = y.data<T>();
    parallel_for(x.numel(), 8192, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        out[i] = static_cast<T>(static_cast<compute_t<T>>(
            rounded(static_cast<double>(static_cast<compute_t<T>>(in[i])), mantissa_bits, least_exponent, largest, beyond)));
    });
  });
}

}  // namespace

void register_minifloat() { kernel::round_minifloat.set(DeviceType::cpu, round_minifloat); }

}  // namespace plumb::cpu_kernels
