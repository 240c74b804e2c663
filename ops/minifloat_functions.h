// Rounding to small floating-point formats, for every device. The step of a number is a power of two read off its exponent's bits, so
// division and product by it are exact.
#pragma once
#include <bit>
#include <cmath>

#include "ops/special_functions.h"

namespace plumb::minifloat {

PLUMB_DEVICE inline double power_of_two(int exponent) { return std::bit_cast<double>(static_cast<uint64_t>(exponent + 1023) << 52); }

/// The nearest number with `mantissa_bits` bits behind the leading one and exponents from `least_exponent` on, ties to even; beyond ±
/// largest: ± beyond.
PLUMB_DEVICE inline double rounded(double x, int mantissa_bits, int least_exponent, double largest, double beyond) {
  if (std::isnan(x)) return x;
  if (std::abs(x) >= 2 * largest) return std::copysign(beyond, x);
  int exponent = static_cast<int>(std::bit_cast<uint64_t>(x) >> 52 & 0x7ff) - 1023;
  int step = (exponent > least_exponent ? exponent : least_exponent) - mantissa_bits;
  double y = std::nearbyint(x * power_of_two(-step)) * power_of_two(step);
  return std::abs(y) > largest ? std::copysign(beyond, x) : y;
}

}  // namespace plumb::minifloat
