// Student's distribution and the intervals made with it.
#include "models/metrics/intervals.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "engine/core/error.h"

namespace plumb {
namespace {

// I_x(a, b) by its continued fraction (Abramowitz and Stegun 26.5.8), evaluated from the front with the modified method of Lentz; it
// converges fast for x < (a + 1) / (a + b + 2).
double incomplete_beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  double c = 1, d = 1 - (a + b) * x / (a + 1);
  d = 1 / (std::abs(d) < kTiny ? kTiny : d);
  double value = d;
  auto advance = [&](double numerator) {
    d = 1 + numerator * d;
    c = 1 + numerator / c;
    d = 1 / (std::abs(d) < kTiny ? kTiny : d);
    if (std::abs(c) < kTiny) c = kTiny;
    value *= d * c;
    return std::abs(d * c - 1);
  };
  for (int m = 1; m < 10000; ++m) {
    advance(m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)));
    if (advance(-(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))) < 1e-16) break;
  }
  return value;
}

double incomplete_beta(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x));
  if (x < (a + 1) / (a + b + 2)) return front * incomplete_beta_fraction(a, b, x) / a;
  return 1 - front * incomplete_beta_fraction(b, a, 1 - x) / b;
}

}  // namespace

double student_t_cdf(double t, double degrees) {
  if (!(degrees > 0)) throw ValueError("student_t_cdf: degrees must be positive, got " + decimal(degrees));
  double tail = 0.5 * incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t));
  return t > 0 ? 1 - tail : tail;
}

double student_t_quantile(double p, double degrees) {
  if (!(p > 0 && p < 1)) throw ValueError("student_t_quantile: p must lie in (0, 1), got " + decimal(p));
  if (!(degrees > 0)) throw ValueError("student_t_quantile: degrees must be positive, got " + decimal(degrees));
  // In the lower tail, where a small p is not rounded away: −t with P(T ≤ −t) = tail.
  double tail = std::min(p, 1 - p), low = 0, high = 1;
  while (student_t_cdf(-high, degrees) > tail) high *= 2;
  for (int i = 0; i < 200 && high - low > 1e-15 * high; ++i) {
    double middle = 0.5 * (low + high);
    (student_t_cdf(-middle, degrees) > tail ? low : high) = middle;
  }
  double t = 0.5 * (low + high);
  return p < 0.5 ? -t : t;
}

Interval t_interval(std::span<const double> values, double level) {
  if (values.empty()) throw ValueError("t_interval: there are no values");
  if (!(level > 0 && level < 1)) throw ValueError("t_interval: level must lie in (0, 1), got " + decimal(level));
  double n = static_cast<double>(values.size()), mean = 0, squares = 0;
  for (double v : values) mean += v / n;
  for (double v : values) squares += (v - mean) * (v - mean);
  if (values.size() < 2) return {mean, std::numeric_limits<double>::quiet_NaN()};
  return {mean, student_t_quantile((1 + level) / 2, n - 1) * std::sqrt(squares / (n - 1) / n)};
}

Interval paired_difference(std::span<const double> a, std::span<const double> b, double level) {
  if (a.size() != b.size())
    throw ValueError("paired_difference: " + std::to_string(a.size()) + " values beside " + std::to_string(b.size()) +
                     "; they must be pairs");
  std::vector<double> differences;
  for (size_t i = 0; i < a.size(); ++i) differences.push_back(a[i] - b[i]);
  return t_interval(differences, level);
}

}  // namespace plumb
