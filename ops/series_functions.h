// Special functions in double that need series, recurrences or iterations.
#pragma once
#include <cmath>
#include <limits>

#include "engine/core/device_function.h"

namespace plumb::special {

namespace detail {
inline constexpr double kPi = 3.14159265358979323846;
/// B₂, B₄, … B₁₆ for k = 1 … 8.
PLUMB_DEVICE inline double bernoulli(int k) {
  constexpr double numbers[] = {1.0 / 6, -1.0 / 30, 1.0 / 42, -1.0 / 30, 5.0 / 66, -691.0 / 2730, 7.0 / 6, -3617.0 / 510};
  return numbers[k - 1];
}
}  // namespace detail

/// ψ(x) = d log Γ(x) / dx: recurrence up to x ≥ 10, then the asymptotic series; reflection for x < 0. NaN at the poles.
PLUMB_DEVICE inline double digamma(double x) {
  if (x <= 0 && x == std::floor(x)) return std::numeric_limits<double>::quiet_NaN();
  double sum = 0;
  if (x < 0) {  // ψ(x) = ψ(1 − x) − π / tan(π x)
    sum = -detail::kPi / std::tan(detail::kPi * x);
    x = 1 - x;
  }
  double below = 0;
  for (; x < 10; ++x) below -= 1 / x;
  double inverse = 1 / (x * x), power = inverse, series = 0;
  for (int k = 1; k <= 8; ++k, power *= inverse) series += detail::bernoulli(k) / (2 * k) * power;
  return below + std::log(x) - 0.5 / x - series + sum;
}

namespace detail {
// ψ⁽ⁿ⁾(x) = (−1)ⁿ⁺¹ [ (n−1)!/xⁿ + n!/(2xⁿ⁺¹) + Σ_k B₂ₖ (2k+n−1)!/((2k)! x^(2k+n)) ] for large x; ψ⁽ⁿ⁾(x) = ψ⁽ⁿ⁾(x+1) + (−1)ⁿ⁺¹ n!/xⁿ⁺¹.
PLUMB_DEVICE inline double polygamma_positive(int n, double x) {
  double factorial = std::tgamma(n + 1.0), sum = 0;
  for (; x < 15 + n; ++x) sum += factorial / std::pow(x, n + 1);
  double series = factorial / n / std::pow(x, n) + factorial / (2 * std::pow(x, n + 1));
  for (int k = 1; k <= 8; ++k) {
    double ratio = 1;  // (2k+n−1)! / (2k)!
    for (int j = 2 * k + 1; j <= 2 * k + n - 1; ++j) ratio *= j;
    series += bernoulli(k) * ratio / std::pow(x, 2 * k + n);
  }
  return (n % 2 ? 1 : -1) * (sum + series);
}
}  // namespace detail

/// ψ⁽ⁿ⁾(x), n ≥ 0. NaN at the poles.
PLUMB_DEVICE inline double polygamma(int n, double x) {
  if (n == 0) return digamma(x);
  if (x > 0) return detail::polygamma_positive(n, x);
  if (x == std::floor(x)) return std::numeric_limits<double>::quiet_NaN();
  double sum = 0, factorial = std::tgamma(n + 1.0);  // up the recurrence to positive x
  for (; x < 0; ++x) sum += (n % 2 ? 1 : -1) * factorial / std::pow(x, n + 1);
  return sum + detail::polygamma_positive(n, x);
}

/// The y with erf(y) = x; ±inf at ±1, NaN beyond.
PLUMB_DEVICE inline double erfinv(double x) {
  if (x != x || x < -1 || x > 1) return std::numeric_limits<double>::quiet_NaN();
  if (x == 1 || x == -1) return x * std::numeric_limits<double>::infinity();
  double a = 0.147, l = std::log((1 - x) * (1 + x)), t = 2 / (detail::kPi * a) + l / 2;  // Winitzki's start, then Newton–Halley steps
  double y = std::copysign(std::sqrt(std::sqrt(t * t - l / a) - t), x);
  for (int step = 0; step < 3; ++step) {
    double error = (x > 0.5 ? (1 - x) - std::erfc(y) : x < -0.5 ? std::erfc(-y) - (1 + x) : std::erf(y) - x);
    double slope = 2 / std::sqrt(detail::kPi) * std::exp(-y * y);
    double newton = error / slope;
    y -= newton / (1 + y * newton);
  }
  return y;
}

}  // namespace plumb::special
