// Floating-point numbers of a few bits with any bias, and their codes. Rounding while training, for the formats whose bias is the usual
// one, is ops/minifloat.h.
#pragma once
#include <cstdint>

#include "ops/minifloat.h"

namespace plumb::quantize {

/// A sign, `exponent_bits` and `mantissa_bits`: ± 2^(e − bias) (1 + m / 2^M), and ± 2^(1 − bias) m / 2^M for e = 0. Round to nearest, ties
/// to even; what is too large becomes the largest number, or, without `saturate`, infinity (ValueError where the format has none). All
/// functions throw ValueError for exponent bits outside [1, 8] or mantissa bits outside [0, 7].
struct Minifloat {
  int exponent_bits = 4, mantissa_bits = 3;
  int bias = 7;
  MinifloatSpecials specials = MinifloatSpecials::nan;
  bool saturate = true;

  double largest() const;
  /// The smallest positive number.
  double smallest() const;
  /// The sign in the highest of 1 + E + M bits, then the exponent's, then the mantissa's. NaN throws ValueError where the format has none.
  uint16_t encode(double x) const;
  /// Throws ValueError for a code of more bits.
  double decode(uint16_t code) const;
  double round(double x) const;
  /// round() of every element, in x's type; the derivative is 1 where nothing was cut off, else 0.
  Tensor fake_quantize(const Tensor& x) const;
  int bits() const { return 1 + exponent_bits + mantissa_bits; }
  void check() const;

 private:
  double magnitude(int code) const;
  int last_code() const;  // of the largest
};

/// E4M3 with bias 7 (largest 448), E5M2 with bias 15 (largest 57344), and E4M3 with bias 15 and no specials, whose range is that of
/// weights: 2^−17 to 1.875.
inline constexpr Minifloat kFloatE4M3{4, 3, 7, MinifloatSpecials::nan}, kFloatE5M2{5, 2, 15, MinifloatSpecials::ieee},
    kWeightE4M3{4, 3, 15, MinifloatSpecials::none};

}  // namespace plumb::quantize
