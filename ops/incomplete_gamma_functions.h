// The incomplete gamma functions for every device: the power series of P below x = a + 1, the continued fraction of Q above, both carried
// as Taylor polynomials in a, so that derivatives in a come with the values.
#pragma once
#include <cmath>
#include <limits>

#include "ops/special_functions.h"

namespace plumb::incomplete {

inline constexpr int kMostTerms = 1'000'000;

// c₀ + c₁ h + c₂ h² + … + c_N hᴺ: a value and what it becomes when a moves by h.
template <int N>
struct Taylor {
  double c[N + 1] = {};
  PLUMB_DEVICE Taylor(double value = 0) { c[0] = value; }
};
template <int N>
PLUMB_DEVICE Taylor<N> operator+(Taylor<N> a, const Taylor<N>& b) {
  for (int i = 0; i <= N; ++i) a.c[i] += b.c[i];
  return a;
}
template <int N>
PLUMB_DEVICE Taylor<N> operator*(const Taylor<N>& a, const Taylor<N>& b) {
  Taylor<N> y;
  for (int i = 0; i <= N; ++i)
    for (int j = 0; i + j <= N; ++j) y.c[i + j] += a.c[i] * b.c[j];
  return y;
}
template <int N>
PLUMB_DEVICE Taylor<N> operator/(const Taylor<N>& a, const Taylor<N>& b) {
  Taylor<N> y;
  for (int i = 0; i <= N; ++i) {
    double rest = a.c[i];
    for (int j = 1; j <= i; ++j) rest -= b.c[j] * y.c[i - j];
    y.c[i] = rest / b.c[0];
  }
  return y;
}
// e^u with y' = u' y.
template <int N>
PLUMB_DEVICE Taylor<N> exponential(const Taylor<N>& u) {
  Taylor<N> y(std::exp(u.c[0]));
  for (int i = 1; i <= N; ++i) {
    for (int j = 1; j <= i; ++j) y.c[i] += j * u.c[j] * y.c[i - j];
    y.c[i] /= i;
  }
  return y;
}
// Whether a term no longer changes a sum: each coefficient by itself, but for those that are small beside the value.
template <int N>
PLUMB_DEVICE bool small_beside(const Taylor<N>& term, const Taylor<N>& sum, double epsilon) {
  for (int i = 0; i <= N; ++i)
    if (!(std::abs(term.c[i]) <= epsilon * (std::abs(sum.c[i]) + (i > 0 ? 1e-3 : 0) * std::abs(sum.c[0])))) return false;
  return true;
}
// `value` + h.
template <int N>
PLUMB_DEVICE Taylor<N> moving(double value) {
  Taylor<N> y(value);
  if constexpr (N > 0) y.c[1] = 1;
  return y;
}

// log(1 + m) − m without cancellation.
PLUMB_DEVICE inline double log1p_minus(double m) {
  if (std::abs(m) > 0.3) return std::log1p(m) - m;
  double sum = 0, power = m * m;  // −m²/2 + m³/3 − …
  for (int k = 2; k < 60; ++k, power *= -m) sum -= power / k;
  return sum;
}

// log (x^a e^(−x) / Γ(a + 1)): from a = 10 on through Stirling's series, so that the large terms cancel on paper.
PLUMB_DEVICE inline double log_peak(double a, double x) {
  if (a < 10) return a * std::log(x) - x - special::lgamma(a + 1);
  double i = 1 / (a * a),
         stirling = (1.0 / 12 + i * (-1.0 / 360 + i * (1.0 / 1260 + i * (-1.0 / 1680 + i * (1.0 / 1188 - i * 691.0 / 360360))))) / a;
  return a * log1p_minus((x - a) / a) - stirling - 0.5 * std::log(6.283185307179586477 * a);
}

// x^a e^(−x) / Γ(a + 1) with its derivatives: those of the logarithm are log x − ψ(a + 1), −ψ′(a + 1), …
template <int N>
PLUMB_DEVICE Taylor<N> peak(double a, double x) {
  Taylor<N> u(log_peak(a, x));
  double factorial = 1;
  for (int i = 1; i <= N; ++i) {
    factorial *= i;
    u.c[i] = ((i == 1 ? std::log(x) : 0) - special::polygamma(i - 1, a + 1)) / factorial;
  }
  return exponential(u);
}

// P = peak · Σ_n xⁿ / ((a + 1) … (a + n))
template <int N>
PLUMB_DEVICE Taylor<N> lower(double a, double x) {
  Taylor<N> term(1), sum(1);
  for (int n = 1; n < kMostTerms && !small_beside(term, sum, 0x1p-54); ++n) {
    term = term * Taylor<N>(x) / moving<N>(a + n);
    sum = sum + term;
  }
  return peak<N>(a, x) * sum;
}

// Q = a peak · 1/(x + 1 − a − 1·(1 − a)/(x + 3 − a − 2·(2 − a)/(x + 5 − a − …))) by Lentz's method: c and d are the quotients of
// neighbouring numerators and of neighbouring denominators, h the fraction so far.
template <int N>
PLUMB_DEVICE Taylor<N> upper(double a, double x) {
  const Taylor<N> minus(-1), one(1);
  Taylor<N> b = Taylor<N>(x + 1) + minus * moving<N>(a), c, d = one / b, h = d;
  for (int n = 1; n < kMostTerms; ++n) {
    Taylor<N> numerator = Taylor<N>(n) * (moving<N>(a) + Taylor<N>(-n));
    b = b + Taylor<N>(2);
    c = n == 1 ? b : b + numerator / c;
    d = one / (numerator * d + b);
    Taylor<N> next = h * (c * d), change = next + minus * h;
    h = next;
    if (small_beside(change, h, 0x1p-50)) break;
  }
  return moving<N>(a) * peak<N>(a, x) * h;
}

/// ∂ᴺP/∂aᴺ at (a, x), of Q if `want_upper`; NaN outside the domain.
template <int N>
PLUMB_DEVICE double value_at(double a, double x, bool want_upper) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  if (!(a >= 0) || !(x >= 0) || (a == 0 && x == 0) || (std::isinf(a) && std::isinf(x))) return nan;
  double factorial = N == 3 ? 6 : N == 2 ? 2 : 1;
  if (x == 0 || std::isinf(x) || a == 0 || std::isinf(a)) {
    bool all = a == 0 || std::isinf(x);  // P = 1
    if (N > 0) return a == 0 ? nan : 0;
    return all != want_upper ? 1 : 0;
  }
  bool by_series = x < a + 1;
  Taylor<N> y = by_series ? lower<N>(a, x) : upper<N>(a, x);
  if (by_series == want_upper) y = Taylor<N>(1) + Taylor<N>(-1) * y;
  return y.c[N] * factorial;
}

}  // namespace plumb::incomplete
