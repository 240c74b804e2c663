// Logarithm, sine and cosine from +, −, ·, / and exact steps alone: the same bits on every machine, where a C library's differ in the last.
#pragma once
#include <cmath>
#include <utility>

#include "engine/core/generator.h"

namespace plumb::data {

/// log(x) for normal x > 0: x = m·2^e with m in [√½, √2), log m = 2 artanh((m − 1)/(m + 1)) as a series. Within 2 ulp.
inline double portable_log(double x) {
  int exponent;
  double m = std::frexp(x, &exponent);
  if (m < 0.70710678118654752) {
    m *= 2;
    --exponent;
  }
  double s = (m - 1) / (m + 1), s2 = s * s, sum = 0;
  for (int k = 21; k >= 1; k -= 2) sum = sum * s2 + 1.0 / k;
  return exponent * 0.69314718055994531 + 2 * s * sum;
}

/// {sin 2πu, cos 2πu}: reduced exactly to an eighth of a turn, then Taylor's series. Within 2 ulp of 1.
inline std::pair<double, double> sin_cos_turns(double u) {
  u -= std::floor(u);
  int quarter = static_cast<int>(std::floor(4 * u + 0.5));
  double x = 6.2831853071795865 * (u - quarter * 0.25), x2 = x * x, s = 0, c = 0;
  for (int k = 19; k >= 3; k -= 2) s = (s + 1) * -x2 / (k * (k - 1));
  for (int k = 18; k >= 2; k -= 2) c = (c + 1) * -x2 / (k * (k - 1));
  s = x * (s + 1);
  c += 1;
  switch (quarter & 3) {
    case 0:
      return {s, c};
    case 1:
      return {c, -s};
    case 2:
      return {-s, -c};
    default:
      return {-c, s};
  }
}

/// A draw from N(0, 1) (Box and Muller, 1958).
inline double normal(Generator& g) {
  double radius = std::sqrt(-2 * portable_log(1 - g.next_double()));
  return radius * sin_cos_turns(g.next_double()).second;
}

inline double uniform(Generator& g, double low, double high) { return low + (high - low) * g.next_double(); }

}  // namespace plumb::data
