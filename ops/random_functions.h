// From random words to random numbers: plain functions of the words, the same on every device.
#pragma once
#include <cmath>
#include <cstdint>

#include "ops/special_functions.h"

namespace plumb::random {

/// [0, 1) in steps of 2⁻ᵇⁱᵗˢ, exactly; bits ≤ 24.
PLUMB_DEVICE inline float unit(uint32_t word, int bits = 24) {
  return static_cast<float>(static_cast<int32_t>(word >> (32 - bits))) *
         special::detail::from_bits(static_cast<uint32_t>(127 - bits) << 23);
}
/// [0, 1) in steps of 2⁻⁵³.
PLUMB_DEVICE inline double unit(uint32_t high, uint32_t low) {
  return static_cast<double>((uint64_t{high} << 32 | low) >> 11) * 0x1p-53;
}
/// (w + ½) 2⁻³² rounded to float, in (0, 1]: small values keep their full precision. The word goes through two halves, because
/// conversion from signed integers is the one that vectorises.
PLUMB_DEVICE inline float open_unit(uint32_t word) {
  float high = static_cast<float>(static_cast<int32_t>(word >> 16)), low = static_cast<float>(static_cast<int32_t>(word & 0xffffu));
  return std::fma(high, 0x1p-16f, std::fma(low, 0x1p-32f, 0x1p-33f));
}
PLUMB_DEVICE inline double open_unit(uint32_t high, uint32_t low) { return unit(high, low) + 0x1p-54; }

/// cos and sin of word · 2⁻³² turns: the nearest quarter turn k is taken off exactly, polynomials give the rest, |x| ≤ π/4.
PLUMB_DEVICE inline void cos_sin_turns(uint32_t word, float& c, float& s) {
  uint32_t k = (word + 0x20000000u) >> 30;
  float x = static_cast<float>(static_cast<int32_t>(word - (k << 30))) * 1.46291807926715968e-9f;  // 2π 2⁻³²
  float sine = special::detail::sin_quarter(x), cosine = special::detail::cos_quarter(x);
  bool odd = k & 1;
  uint32_t c_sign = (k + 1) << 30 & 0x80000000u, s_sign = k << 30 & 0x80000000u;
  c = special::detail::from_bits(special::detail::to_bits(odd ? sine : cosine) ^ c_sign);
  s = special::detail::from_bits(special::detail::to_bits(odd ? cosine : sine) ^ s_sign);
}

/// Two independent standard normals (Box & Muller 1958): √(−2 log u) (cos θ, sin θ).
PLUMB_DEVICE inline void normal_pair(uint32_t radius, uint32_t angle, float& a, float& b) {
  float r = std::sqrt(-2.0f * special::log(open_unit(radius))), c, s;
  cos_sin_turns(angle, c, s);
  a = r * c;
  b = r * s;
}
PLUMB_DEVICE inline void normal_pair(uint32_t radius_high, uint32_t radius_low, uint32_t angle_high, uint32_t angle_low, double& a,
                                     double& b) {
  double r = std::sqrt(-2.0 * std::log(open_unit(radius_high, radius_low))), angle = 6.283185307179586477 * unit(angle_high, angle_low);
  a = r * std::cos(angle);
  b = r * std::sin(angle);
}

/// Standard exponential, −log(1 − u), never 0 and accurate at both ends: below ½ through log w · u / (1 − w) with w = 1 − u rounded,
/// above it from the complement of the word, which is 1 − u without cancellation.
PLUMB_DEVICE inline float exponential(uint32_t word) {
  float u = open_unit(word);
  bool below = word < 0x80000000u;
  float w = below ? 1.0f - u : open_unit(~word);
  float e = -special::log(w);
  float gap = 1.0f - w;
  float corrected = gap > 0.0f ? e * (u / gap) : u;
  return below ? corrected : e;
}
PLUMB_DEVICE inline double exponential(uint32_t high, uint32_t low) { return -std::log1p(-open_unit(high, low)); }

/// ⌊w n / 2⁶⁴⌋: an integer in [0, n) with a bias below n / 2⁶⁴.
PLUMB_DEVICE inline uint64_t below(uint64_t n, uint32_t high, uint32_t low) {
#if defined(__CUDA_ARCH__)
  return __umul64hi(uint64_t{high} << 32 | low, n);
#else
  return static_cast<uint64_t>(static_cast<unsigned __int128>(uint64_t{high} << 32 | low) * n >> 64);
#endif
}

/// The x with Φ(x) = p for 0 < p < 1, Φ the normal distribution function. Near the middle by erfinv; in the lower tail by Newton's
/// method on log Φ, which is concave, so that it converges from the asymptotic value.
PLUMB_DEVICE inline double normal_quantile(double p) {
  constexpr double kSqrt2 = 1.41421356237309504880;
  double lower = p > 0.5 ? 1 - p : p, x;
  if (lower > 0.01) {
    x = kSqrt2 * special::erfinv(2 * lower - 1);
  } else {
    double target = std::log(lower);
    x = -std::sqrt(-2 * target - std::log(-12.566370614359172954 * target));
    for (int i = 0; i < 6; ++i) {
      double cdf = 0.5 * std::erfc(-x / kSqrt2), density = 0.39894228040143267794 * std::exp(-0.5 * x * x);
      double step = (std::log(cdf) - target) * cdf / density;
      x -= step;
      if (std::abs(step) < 1e-14 * std::abs(x)) break;
    }
  }
  return p > 0.5 ? -x : x;
}

}  // namespace plumb::random
