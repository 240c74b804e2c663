// Rounding to small floating-point formats while training, with gradients that pass straight through.
#pragma once
#include <cmath>

#include "engine/core/tensor.h"

namespace plumb {

/// What the bit patterns with the largest exponent stand for.
enum class MinifloatSpecials : uint8_t {
  ieee,  ///< infinity and NaN, as in IEEE 754
  nan,   ///< numbers, but for the last pattern, which is NaN ("fn")
  none,  ///< numbers, all of them
};

/// A sign, `exponent_bits` and `mantissa_bits`: numbers ± 2^(e − bias) (1 + m / 2^mantissa_bits), and ± 2^(1 − bias) m / 2^mantissa_bits
/// for e = 0.
struct MinifloatFormat {
  int exponent_bits = 4;   ///< 2 … 8
  int mantissa_bits = 3;   ///< 1 … 10
  MinifloatSpecials specials = MinifloatSpecials::nan;

  int bias() const { return (1 << (exponent_bits - 1)) - 1; }
  /// The smallest positive number, and the smallest with a leading 1.
  double smallest() const { return std::ldexp(1.0, 1 - bias() - mantissa_bits); }
  double smallest_normal() const { return std::ldexp(1.0, 1 - bias()); }
  double largest() const {
    int exponent = (1 << exponent_bits) - 1 - bias() - (specials == MinifloatSpecials::ieee ? 1 : 0);
    double mantissa = 2 - std::ldexp(1.0, -mantissa_bits) * (specials == MinifloatSpecials::nan ? 2 : 1);
    return std::ldexp(mantissa, exponent);
  }
};
/// The formats of the OCP 8-bit (2023) and microscaling (2023) specifications.
inline constexpr MinifloatFormat kE4M3{4, 3, MinifloatSpecials::nan}, kE5M2{5, 2, MinifloatSpecials::ieee},
    kE3M2{3, 2, MinifloatSpecials::none}, kE2M3{2, 3, MinifloatSpecials::none}, kE2M1{2, 1, MinifloatSpecials::none};

/// Each element rounded to the nearest number of the format, ties to even, small ones to its subnormals; what rounds beyond the largest
/// becomes ± largest, or, if not `saturate`, infinity (NaN where the format has none; without either: ValueError). NaN stays NaN. The
/// derivative is 1 where nothing was cut off and 0 elsewhere. Throws ValueError for a format out of range, DTypeError for integers.
Tensor round_to_minifloat(const Tensor& x, const MinifloatFormat& format = kE4M3, bool saturate = true);

}  // namespace plumb
