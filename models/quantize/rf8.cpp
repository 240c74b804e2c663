// RF8: rounding in the domain of logarithms, and the byte that holds the result.
#include "models/quantize/rf8.h"

#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "ops/shape.h"

namespace plumb::quantize {
namespace {

constexpr int kResidualBits = 4;                                                      // n of what a byte can hold
constexpr std::array kRatios{0.0, 0.5, 0.25, -0.25, 0.125, -0.125, 0.0625, -0.0625};  // v₂ / v₁

int log2_rounded(double positive) { return static_cast<int>(std::nearbyint(std::log2(positive))); }

void check_finite(double w) {
  if (!std::isfinite(w)) throw ValueError("rf8: " + decimal(w) + " has no code");
}

// |RF8(w)| = 2^exponent (1 + ratio).
struct Parts {
  int exponent;
  double ratio;
};

Parts parts_of(double magnitude, int n) {
  int e1 = log2_rounded(magnitude);
  double residual = magnitude - std::ldexp(1.0, e1);
  if (residual == 0) return {e1, 0};
  int e2 = log2_rounded(std::abs(residual));
  return {e1, e1 - e2 <= n ? std::copysign(std::ldexp(1.0, e2 - e1), residual) : 0};
}

double value_of(const Parts& p, bool negative) {
  double v = std::ldexp(1 + p.ratio, p.exponent);
  return negative ? -v : v;
}

}  // namespace

std::optional<int> rf8_exponent(double w) {
  check_finite(w);
  if (w == 0) return {};
  return log2_rounded(std::abs(w));
}

Tensor rf8(const Tensor& w, int n) {
  if (!is_floating(w.dtype())) unsupported_dtype("rf8", w.dtype());
  if (n < 0) throw ValueError("rf8: n must not be negative, it is " + std::to_string(n));
  std::vector<double> values = to_vector(w.detach());
  for (double& v : values) {
    check_finite(v);
    if (v != 0) v = value_of(parts_of(std::abs(v), n), v < 0);
  }
  return to(to(from_vector(values, w.shape()), w.dtype()), w.device());
}

uint8_t rf8_encode(double w, int top) {
  check_finite(w);
  if (w == 0) return 0;
  Parts p = parts_of(std::abs(w), kResidualBits);
  if (p.exponent > top) throw ValueError("rf8: " + decimal(w) + " is too large for exponents up to " + std::to_string(top));
  int field = kRf8Exponents - (top - p.exponent);
  if (field < 1) return 0;
  size_t ratio = 0;
  while (kRatios[ratio] != p.ratio) ++ratio;
  return static_cast<uint8_t>((w < 0 ? 128 : 0) | field << 3 | static_cast<int>(ratio));
}

double rf8_decode(uint8_t code, int top) {
  int field = code >> 3 & 15;
  return field == 0 ? 0 : value_of({top - (kRf8Exponents - field), kRatios[code & 7]}, (code & 128) != 0);
}

}  // namespace plumb::quantize
