// Special functions that are too long to inline.
#include "ops/special_functions.h"

namespace plumb::special {

static constexpr double kPi = 3.14159265358979323846;
static constexpr double kBernoulli[] = {1.0 / 6, -1.0 / 30, 1.0 / 42, -1.0 / 30, 5.0 / 66, -691.0 / 2730, 7.0 / 6, -3617.0 / 510};  // B₂, B₄, …

double digamma(double x) {
  if (x <= 0 && x == std::floor(x)) return std::numeric_limits<double>::quiet_NaN();
  if (x < 0) return digamma(1 - x) - kPi / std::tan(kPi * x);
  double sum = 0;
  for (; x < 10; ++x) sum -= 1 / x;
  double inverse = 1 / (x * x), power = inverse, series = 0;
  for (int k = 0; k < 8; ++k, power *= inverse) series += kBernoulli[k] / (2 * (k + 1)) * power;
  return sum + std::log(x) - 0.5 / x - series;
}

// ψ⁽ⁿ⁾(x) = (−1)ⁿ⁺¹ [ (n−1)!/xⁿ + n!/(2xⁿ⁺¹) + Σ_k B₂ₖ (2k+n−1)!/((2k)! x^(2k+n)) ] for large x; ψ⁽ⁿ⁾(x) = ψ⁽ⁿ⁾(x+1) + (−1)ⁿ⁺¹ n!/xⁿ⁺¹.
static double polygamma_positive(int n, double x) {
  double factorial = std::tgamma(n + 1.0), sum = 0;
  for (; x < 15 + n; ++x) sum += factorial / std::pow(x, n + 1);
  double series = factorial / n / std::pow(x, n) + factorial / (2 * std::pow(x, n + 1));
  for (int k = 1; k <= 8; ++k) {
    double ratio = 1;  // (2k+n−1)! / (2k)!
    for (int j = 2 * k + 1; j <= 2 * k + n - 1; ++j) ratio *= j;
    series += kBernoulli[k - 1] * ratio / std::pow(x, 2 * k + n);
  }
  return (n % 2 ? 1 : -1) * (sum + series);
}

double polygamma(int n, double x) {
  if (n == 0) return digamma(x);
  if (x > 0) return polygamma_positive(n, x);
  if (x == std::floor(x)) return std::numeric_limits<double>::quiet_NaN();
  double sum = 0, factorial = std::tgamma(n + 1.0);  // up the recurrence to positive x
  for (; x < 0; ++x) sum += (n % 2 ? 1 : -1) * factorial / std::pow(x, n + 1);
  return sum + polygamma_positive(n, x);
}

double erfinv(double x) {
  if (x != x || x < -1 || x > 1) return std::numeric_limits<double>::quiet_NaN();
  if (x == 1 || x == -1) return x * std::numeric_limits<double>::infinity();
  double a = 0.147, l = std::log((1 - x) * (1 + x)), t = 2 / (kPi * a) + l / 2;  // Winitzki's start, then Newton–Halley steps
  double y = std::copysign(std::sqrt(std::sqrt(t * t - l / a) - t), x);
  for (int step = 0; step < 3; ++step) {
    double error = (x > 0.5 ? (1 - x) - std::erfc(y) : x < -0.5 ? std::erfc(-y) - (1 + x) : std::erf(y) - x);
    double slope = 2 / std::sqrt(kPi) * std::exp(-y * y);
    double newton = error / slope;
    y -= newton / (1 + y * newton);
  }
  return y;
}

}  // namespace plumb::special
