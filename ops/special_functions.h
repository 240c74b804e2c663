// Elementary and special functions for kernels. In float, exp, log, tanh, erf are branch-free polynomials, so that loops over them
// vectorise and every device computes the same bits; in double they are the C library's.
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace plumb::special {

inline double exp(double x) { return std::exp(x); }
inline double log(double x) { return std::log(x); }
inline double tanh(double x) { return std::tanh(x); }
inline double erf(double x) { return std::erf(x); }
inline double lgamma(double x) {
  int sign;
  return ::lgamma_r(x, &sign);  // std::lgamma writes a global
}
inline float lgamma(float x) { return static_cast<float>(lgamma(static_cast<double>(x))); }

/// e^x in float: x = n log 2 + r with |r| ≤ log 2 / 2, a Taylor-like polynomial of degree 6 in r, then 2^n in two factors so that
/// results down to the smallest subnormal come out right. Error below 2 ulp.
inline float exp(float x) {
  float c = x < -104.0f ? -104.0f : x;
  c = c > 89.0f ? 89.0f : c;
  float n = std::fma(c, 1.44269504088896341f, 12582912.0f) - 12582912.0f;
  float r = std::fma(n, -0.693145751953125f, c);
  r = std::fma(n, -1.42860682030941723e-6f, r);
  float p = 1.3888889e-3f;
  p = std::fma(p, r, 8.3333333e-3f);
  p = std::fma(p, r, 4.1666666e-2f);
  p = std::fma(p, r, 1.6666667e-1f);
  p = std::fma(p, r, 0.5f);
  p = std::fma(p, r, 1.0f);
  p = std::fma(p, r, 1.0f);
  int32_t i = static_cast<int32_t>(n), half = i >> 1;
  float s1 = std::bit_cast<float>((half + 127) << 23), s2 = std::bit_cast<float>((i - half + 127) << 23);
  return p * s1 * s2;
}

inline float log(float x) { return std::log(x); }
inline float tanh(float x) { return std::tanh(x); }
inline float erf(float x) { return std::erf(x); }

/// ψ(x) = d log Γ(x) / dx: recurrence up to x ≥ 10, then the asymptotic series; reflection for x < 0. NaN at the poles.
double digamma(double x);
/// ψ⁽ⁿ⁾(x), n ≥ 0. NaN at the poles.
double polygamma(int n, double x);
/// The y with erf(y) = x; ±inf at ±1, NaN beyond.
double erfinv(double x);

}  // namespace plumb::special
