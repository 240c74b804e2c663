// Elementary and special functions for kernels. In float, exp, log, tanh, erf, sin, cos and what is built of them are branch-free, so
// that loops over them vectorise and every device computes the same bits; in double they are the C library's.
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "engine/core/device_function.h"
#include "ops/series_functions.h"

namespace plumb::special {

PLUMB_DEVICE inline double exp(double x) { return std::exp(x); }
PLUMB_DEVICE inline double log(double x) { return std::log(x); }
PLUMB_DEVICE inline double tanh(double x) { return std::tanh(x); }
PLUMB_DEVICE inline double erf(double x) { return std::erf(x); }
PLUMB_DEVICE inline double lgamma(double x) {
#if defined(__CUDA_ARCH__)
  return ::lgamma(x);
#else
  int sign;
  return ::lgamma_r(x, &sign);  // std::lgamma writes a global
#endif
}
PLUMB_DEVICE inline float lgamma(float x) { return static_cast<float>(lgamma(static_cast<double>(x))); }

namespace detail {

PLUMB_DEVICE inline float from_bits(uint32_t u) { return std::bit_cast<float>(u); }
PLUMB_DEVICE inline uint32_t to_bits(float x) { return std::bit_cast<uint32_t>(x); }
/// Added to and taken from a float below 2²², it rounds it to an integer, which then stands in the low bits of the sum.
inline constexpr float kRounder = 12582912.0f;  // 1.5 · 2²³

}  // namespace detail

// The polynomials are minimax fits of our own, their coefficients rounded to float one after the other from the lowest, the rest refitted.
// Each error below is the largest measured over every 17th float of the range, against double.

/// e^x. x = n log 2 + r, |r| ≤ log 2 / 2; e^r = 1 + r + r² q(r); 2ⁿ in two factors, so that subnormal results come out right.
/// Error ≤ 1.03 ulp; overflow gives inf.
PLUMB_DEVICE inline float exp(float x) {
  float c = x < -104.0f ? -104.0f : x;
  c = x > 89.0f ? 89.0f : c;
  float shifted = std::fma(c, 1.44269504088896341f, detail::kRounder), n = shifted - detail::kRounder;
  float r = std::fma(n, -0x1.62e4p-1f, c);
  r = std::fma(n, -0x1.7f7d1cp-20f, r);
  float q = 0x1.6d6aaap-10f;
  q = std::fma(q, r, 0x1.123ac4p-7f);
  q = std::fma(q, r, 0x1.5554cep-5f);
  q = std::fma(q, r, 0x1.555490p-3f);
  q = std::fma(q, r, 0.5f);
  float p = std::fma(r * r, q, r) + 1.0f;
  uint32_t i = detail::to_bits(shifted) - detail::to_bits(detail::kRounder), half = static_cast<uint32_t>(static_cast<int32_t>(i) >> 1);
  return p * detail::from_bits((half + 127u) << 23) * detail::from_bits((i - half + 127u) << 23);
}

/// log x. x = 2ᵉ m with m in [√½, √2); f = m − 1; log m = f − f²/2 + f³ q(f). log 0 = −inf, NaN below. Error ≤ 0.84 ulp.
PLUMB_DEVICE inline float log(float x) {
  bool subnormal = x < 0x1p-126f;
  uint32_t bits = detail::to_bits(subnormal ? x * 0x1p23f : x);
  int32_t e = static_cast<int32_t>(bits - 0x3f3504f3u) >> 23;
  float f = detail::from_bits(bits - (static_cast<uint32_t>(e) << 23)) - 1.0f;
  float n = static_cast<float>(e) - (subnormal ? 23.0f : 0.0f);
  float q = -0x1.38c9d4p-4f;
  q = std::fma(q, f, 0x1.055ec4p-3f);
  q = std::fma(q, f, -0x1.0d8242p-3f);
  q = std::fma(q, f, 0x1.22d92ep-3f);
  q = std::fma(q, f, -0x1.54728ap-3f);
  q = std::fma(q, f, 0x1.99a01cp-3f);
  q = std::fma(q, f, -0x1.000226p-2f);
  q = std::fma(q, f, 0x1.555554p-2f);
  float z = f * f, r = std::fma(f * z, q, n * 0x1.7f7d1cp-20f);  // n log 2 in two parts, the first exact
  r = std::fma(-0.5f, z, r) + f;
  r = std::fma(n, 0x1.62e4p-1f, r);
  constexpr float inf = std::numeric_limits<float>::infinity();
  float edge = x == 0.0f ? -inf : x > 0.0f ? inf : std::numeric_limits<float>::quiet_NaN();
  return x > 0.0f && x < inf ? r : edge;
}

/// log(1 + x), accurate near 0: log u for the rounded u = 1 + x, and what the rounding lost over u. Error ≤ 1.5 ulp.
PLUMB_DEVICE inline double log1p(double x) { return std::log1p(x); }
PLUMB_DEVICE inline float log1p(float x) {
  float u = 1.0f + x, lost = x - (u - 1.0f);
  float y = log(u) + lost / u;
  return u > 0.0f && u < std::numeric_limits<float>::infinity() ? y : log(u);
}

/// tanh x: x + x³ q(x²) below 0.625, else 1 − 2 / (e^(2|x|) + 1) with x's sign. Error ≤ 1.33 ulp.
PLUMB_DEVICE inline float tanh(float x) {
  float a = std::fabs(x), z = x * x;
  float q = -0x1.696a9ap-8f;
  q = std::fma(q, z, 0x1.4f5d72p-6f);
  q = std::fma(q, z, -0x1.b7cfb6p-5f);
  q = std::fma(q, z, 0x1.1103f0p-3f);
  q = std::fma(q, z, -0x1.555524p-2f);
  float near = std::fma(a * z, q, a), far = 1.0f - 2.0f / (exp(2.0f * a) + 1.0f);
  return std::copysign(a < 0.625f ? near : far, x);
}

/// erf x: x + x q(x²) below 0.9, else 1 − e^p(|x|) with x's sign, p a polynomial for log erfc. Error ≤ 1.15 ulp.
PLUMB_DEVICE inline float erf(float x) {
  float a = std::fabs(x), z = x * x;
  float q = -0x1.3cc3c6p-11f;
  q = std::fma(q, z, 0x1.47db2ap-8f);
  q = std::fma(q, z, -0x1.b6a4e0p-6f);
  q = std::fma(q, z, 0x1.ce1c0ap-4f);
  q = std::fma(q, z, -0x1.8126eep-2f);
  q = std::fma(q, z, 0x1.06eba6p-3f);
  float near = std::fma(x, q, x);
  float t = a > 3.95f ? 3.95f : a;  // beyond, erf rounds to 1
  float p = 0x1.9f96bap-13f;
  p = std::fma(p, t, -0x1.91c40cp-9f);
  p = std::fma(p, t, 0x1.6d9ca4p-6f);
  p = std::fma(p, t, -0x1.aa7542p-4f);
  p = std::fma(p, t, -0x1.46211ap-1f);
  p = std::fma(p, t, -0x1.20b79ap+0f);
  p = std::fma(p, t, -0x1.5a2940p-13f);
  float far = std::copysign(1.0f - exp(p), x);
  return a < 0.9f ? near : far;
}

/// Φ(x) = ½ erfc(−x/√2), the normal distribution function, small values to full relative precision; and e^(−x²/2) in `bell`.
PLUMB_DEVICE inline double normal_cdf(double x, double& bell) {
  bell = std::exp(-0.5 * x * x);
  return 0.5 * std::erfc(x * -0.70710678118654752440);
}
/// Φ(−a) = e^(−a²/2) s q(s) with s = 1 / (1 + 0.3a), a ≥ 0. Error ≤ 2.2e-7, and ≤ 1e-6 relative for x ≥ −5.
PLUMB_DEVICE inline float normal_cdf(float x, float& bell) {
  float s = 1.0f / std::fma(0.3f, std::fabs(x), 1.0f);
  bell = exp(-0.5f * x * x);
  float q = 0x1.2a4896p-5f;
  q = std::fma(q, s, -0x1.4738f6p-3f);
  q = std::fma(q, s, 0x1.ad8fb6p-3f);
  q = std::fma(q, s, -0x1.c7bc14p-5f);
  q = std::fma(q, s, 0x1.07d76ep-3f);
  q = std::fma(q, s, 0x1.9a1086p-4f);
  q = std::fma(q, s, 0x1.ee42d6p-4f);
  q = std::fma(q, s, 0x1.ea0a0cp-4f);
  float tail = bell * (s * q);
  return x < 0.0f ? tail : 1.0f - tail;
}

/// 1 / (1 + e⁻ˣ), without overflow and precise on both sides. Error ≤ 2.5 ulp.
template <typename T>
PLUMB_DEVICE T sigmoid(T x) {
  T e = exp(-std::fabs(x));
  return (x < 0 ? e : T(1)) / (T(1) + e);
}

namespace detail {

/// x = n π/2 + r, |r| ≤ π/4, for |x| ≤ 10⁶: r, and n modulo 4 in `quadrant`.
PLUMB_DEVICE inline float quarter_turns(float x, uint32_t& quadrant) {
  float shifted = std::fma(x, 0x1.45f306p-1f, kRounder), n = shifted - kRounder;
  quadrant = to_bits(shifted) & 3u;
  float r = std::fma(n, -0x1.921fb6p+0f, x);
  r = std::fma(n, 0x1.777a5cp-25f, r);
  return std::fma(n, 0x1.ee59dap-50f, r);
}
PLUMB_DEVICE inline float sin_quarter(float r) {  // r + r³ q(r²)
  float z = r * r, q = -0x1.9951eep-13f;
  q = std::fma(q, z, 0x1.110774p-7f);
  q = std::fma(q, z, -0x1.555546p-3f);
  return std::fma(r * z, q, r);
}
PLUMB_DEVICE inline float cos_quarter(float r) {  // 1 − r²/2 + r⁴ q(r²)
  float z = r * r, q = 0x1.99e80cp-16f;
  q = std::fma(q, z, -0x1.6c0c28p-10f);
  q = std::fma(q, z, 0x1.55554ap-5f);
  return std::fma(z * z, q, std::fma(-0.5f, z, 1.0f));
}

}  // namespace detail

PLUMB_DEVICE inline double sin(double x) { return std::sin(x); }
PLUMB_DEVICE inline double cos(double x) { return std::cos(x); }
/// sin x and cos x for |x| ≤ 10⁶ (for larger x call the C library's). Error ≤ 1.6 ulp.
PLUMB_DEVICE inline float sin(float x) {
  uint32_t quadrant;
  float r = detail::quarter_turns(x, quadrant), s = detail::sin_quarter(r), c = detail::cos_quarter(r);
  return detail::from_bits(detail::to_bits(quadrant & 1u ? c : s) ^ ((quadrant & 2u) << 30));
}
PLUMB_DEVICE inline float cos(float x) {
  uint32_t quadrant;
  float r = detail::quarter_turns(x, quadrant), s = detail::sin_quarter(r), c = detail::cos_quarter(r);
  return detail::from_bits(detail::to_bits(quadrant & 1u ? s : c) ^ (((quadrant + 1u) & 2u) << 30));
}

}  // namespace plumb::special
