// Codes of small floating-point numbers.
#include "models/quantize/minifloat.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "ops/minifloat_functions.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::quantize {

void Minifloat::check() const {
  if (exponent_bits < 1 || exponent_bits > 8)
    throw ValueError("minifloat: exponent bits must be in [1, 8], there are " + std::to_string(exponent_bits));
  if (mantissa_bits < 0 || mantissa_bits > 7)
    throw ValueError("minifloat: mantissa bits must be in [0, 7], there are " + std::to_string(mantissa_bits));
  if (std::abs(bias) > 500) throw ValueError("minifloat: the bias must be in [-500, 500], it is " + std::to_string(bias));
}

double Minifloat::magnitude(int code) const {
  int e = code >> mantissa_bits, m = code & ((1 << mantissa_bits) - 1);
  return e == 0 ? std::ldexp(m, 1 - bias - mantissa_bits) : std::ldexp((1 << mantissa_bits) + m, e - bias - mantissa_bits);
}

int Minifloat::last_code() const {
  int all = (1 << (exponent_bits + mantissa_bits)) - 1;
  if (specials == MinifloatSpecials::none) return all;
  return specials == MinifloatSpecials::nan ? all - 1 : all - (1 << mantissa_bits);
}

double Minifloat::largest() const {
  check();
  return magnitude(last_code());
}

double Minifloat::smallest() const {
  check();
  return magnitude(1);
}

double Minifloat::round(double x) const {
  check();
  double most = magnitude(last_code());
  double y = minifloat::rounded(x, mantissa_bits, 1 - bias, most, saturate ? most : std::numeric_limits<double>::infinity());
  if (std::isinf(y) && specials != MinifloatSpecials::ieee)
    throw ValueError("minifloat: " + decimal(x) + " is too large for a format without infinity");
  return y;
}

uint16_t Minifloat::encode(double x) const {
  double y = round(x), size = std::abs(y);
  int sign = std::signbit(y) ? 1 << (exponent_bits + mantissa_bits) : 0, code;
  if (std::isnan(y)) {
    if (specials == MinifloatSpecials::none) throw ValueError("minifloat: the format has no code for NaN");
    code = (1 << (exponent_bits + mantissa_bits)) - 1;
  } else if (std::isinf(y)) {
    code = last_code() + 1;
  } else if (int exponent = size == 0 ? -bias : std::ilogb(size); exponent < 1 - bias) {
    code = static_cast<int>(std::ldexp(size, bias - 1 + mantissa_bits));
  } else {
    code = ((exponent + bias) << mantissa_bits) + static_cast<int>(std::ldexp(size, mantissa_bits - exponent)) - (1 << mantissa_bits);
  }
  return static_cast<uint16_t>(sign | code);
}

double Minifloat::decode(uint16_t code) const {
  check();
  int sign = code >> (exponent_bits + mantissa_bits), rest = code & ((1 << (exponent_bits + mantissa_bits)) - 1);
  if (sign > 1) throw ValueError("minifloat: " + std::to_string(code) + " has more than " + std::to_string(bits()) + " bits");
  double y = magnitude(rest);
  if (rest > last_code())
    y = rest == last_code() + 1 && specials == MinifloatSpecials::ieee ? std::numeric_limits<double>::infinity()
                                                                       : std::numeric_limits<double>::quiet_NaN();
  return sign == 1 ? -y : y;
}

Tensor Minifloat::fake_quantize(const Tensor& x) const {
  std::vector<double> values = to_vector(x.detach());
  for (double& v : values) v = round(v);
  Tensor rounded = to(to(from_vector(values, x.shape()), x.dtype()), x.device());
  // Where nothing is cut off, q − x is exact: the sum is q to the last bit.
  Tensor inside = clamp(x, -largest(), largest());
  return inside + (rounded - inside.detach()).detach();
}

}  // namespace plumb::quantize
