// The numbers of the plain interpreter: doubles that carry their derivatives along two directions, forwards, and bounds of rounding errors.
// Shares nothing with the engine, which differentiates backwards.
#pragma once
#include <cmath>
#include <stdexcept>
#include <vector>

namespace plumb::programs {

/// A program that asks for what it should not: outside a function's domain, too near to a kink for differences, too large. Not a failure.
struct Unsuitable : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Number {
  double v = 0;           ///< the value
  double a = 0, b = 0;    ///< its derivatives along the two directions
  double ab = 0;          ///< the second derivative along both
  double ev = 0, ea = 0;  ///< to first order, bounds of the errors of v and a where arithmetic rounds by `unit`
};

/// What the interpreter is in the middle of: the rounding unit of its arithmetic, and what went on with precision so far.
struct Precision {
  double unit = 0;
  bool blurred = false;        ///< a choice depended on less than the rounding errors: lower types may choose otherwise
  double gradient_floor = 0;   ///< what gradients lose where they fall below the normal numbers of f16
};
inline thread_local Precision precision;

inline Number constant(double v) { return {.v = v}; }

/// f(x) from f and its first two derivatives at x. Elementary functions are taken to be right to two units.
inline Number chain(const Number& x, double f, double f1, double f2) {
  double u = 2 * precision.unit;
  return {f, f1 * x.a, f1 * x.b, f2 * x.a * x.b + f1 * x.ab, std::abs(f1) * x.ev + u * std::abs(f),
          std::abs(f1) * x.ea + std::abs(x.a) * (std::abs(f2) * x.ev + 2 * u * std::abs(f1))};
}
inline Number operator+(const Number& x, const Number& y) {
  double v = x.v + y.v, a = x.a + y.a, u = precision.unit;
  return {v, a, x.b + y.b, x.ab + y.ab, x.ev + y.ev + u * std::abs(v), x.ea + y.ea + u * (std::abs(x.a) + std::abs(y.a))};
}
inline Number operator-(const Number& x) { return {-x.v, -x.a, -x.b, -x.ab, x.ev, x.ea}; }
inline Number operator-(const Number& x, const Number& y) { return x + -y; }
inline Number operator*(const Number& x, const Number& y) {
  double u = precision.unit;
  return {x.v * y.v,
          x.a * y.v + x.v * y.a,
          x.b * y.v + x.v * y.b,
          x.ab * y.v + x.a * y.b + x.b * y.a + x.v * y.ab,
          std::abs(x.v) * y.ev + std::abs(y.v) * x.ev + x.ev * y.ev + u * std::abs(x.v * y.v),
          std::abs(x.a) * y.ev + std::abs(y.v) * x.ea + std::abs(x.v) * y.ea + std::abs(y.a) * x.ev + x.ea * y.ev + x.ev * y.ea +
              2 * u * (std::abs(x.a * y.v) + std::abs(x.v * y.a))};
}
inline Number operator+(const Number& x, double y) { return x + constant(y); }
inline Number operator-(const Number& x, double y) { return x + constant(-y); }
inline Number operator-(double x, const Number& y) { return constant(x) + -y; }
inline Number operator*(double x, const Number& y) { return constant(x) * y; }

/// Refuses arguments outside what the function can be checked on.
inline void require(bool suitable, const char* what) {
  if (!suitable) throw Unsuitable(what);
}
/// A function has a kink or a jump where `gap` is 0: differences must not reach it. Where it is 0 whatever the inputs, nothing can move it.
inline void kink_at(const Number& gap) {
  if (gap.v == 0 && gap.a == 0 && gap.b == 0 && gap.ab == 0) {
    precision.blurred = precision.blurred || gap.ev > 0;
    return;
  }
  require(std::abs(gap.v) > 1e-3 * (1 + std::abs(gap.a) + std::abs(gap.b)), "a kink is near");
  if (std::abs(gap.v) < 32 * gap.ev) precision.blurred = true;
}
/// The same where a result jumps: two sums that are equal but for rounding, on which even the last bit of f64 decides, do not suit.
inline void jump_at(const Number& gap) {
  kink_at(gap);
  require(gap.v != 0 || gap.ev == 0, "equal but for rounding");
}
/// x without its derivatives: what steps and signs make of it.
inline Number step(double v) { return constant(v); }
inline bool less(const Number& x, const Number& y) {
  kink_at(x - y);
  return x.v < y.v;
}

inline Number exp(const Number& x) {
  require(x.v < 4, "exp of a large number");
  double e = std::exp(x.v);
  return chain(x, e, e, e);
}
inline Number log(const Number& x) {
  require(x.v > 0.1, "log near 0");
  return chain(x, std::log(x.v), 1 / x.v, -1 / (x.v * x.v));
}
inline Number reciprocal(const Number& x) {
  require(std::abs(x.v) > 0.15, "division by nearly 0");
  return chain(x, 1 / x.v, -1 / (x.v * x.v), 2 / (x.v * x.v * x.v));
}
inline Number operator/(const Number& x, const Number& y) { return x * reciprocal(y); }
inline Number sqrt(const Number& x) {
  require(x.v > 0.1, "sqrt near 0");
  double s = std::sqrt(x.v);
  return chain(x, s, 0.5 / s, -0.25 / (s * x.v));
}
inline Number sin(const Number& x) { return chain(x, std::sin(x.v), std::cos(x.v), -std::sin(x.v)); }
inline Number cos(const Number& x) { return chain(x, std::cos(x.v), -std::sin(x.v), -std::cos(x.v)); }
inline Number atan(const Number& x) {
  double d = 1 / (1 + x.v * x.v);
  return chain(x, std::atan(x.v), d, -2 * x.v * d * d);
}
inline Number asin(const Number& x) {
  require(std::abs(x.v) < 0.9, "asin near 1");
  double d = 1 / std::sqrt(1 - x.v * x.v);
  return chain(x, std::asin(x.v), d, x.v * d * d * d);
}
inline Number tanh(const Number& x) {
  double t = std::tanh(x.v), d = 1 - t * t;
  return chain(x, t, d, -2 * t * d);
}
inline Number erf(const Number& x) {
  double d = 2 / std::sqrt(M_PI) * std::exp(-x.v * x.v);
  return chain(x, std::erf(x.v), d, -2 * x.v * d);
}
/// x^p for x > 0.
inline Number power(const Number& x, double p) {
  require(x.v > 0.1, "a power near 0");
  return chain(x, std::pow(x.v, p), p * std::pow(x.v, p - 1), p * (p - 1) * std::pow(x.v, p - 2));
}
inline Number log1p(const Number& x) {
  require(x.v > -0.85, "log1p near -1");
  return chain(x, std::log1p(x.v), 1 / (1 + x.v), -1 / ((1 + x.v) * (1 + x.v)));
}
inline Number expm1(const Number& x) {
  require(x.v < 4, "expm1 of a large number");
  return chain(x, std::expm1(x.v), std::exp(x.v), std::exp(x.v));
}
inline Number sigmoid(const Number& x) {
  double s = 1 / (1 + std::exp(-x.v)), d = s * (1 - s);
  return chain(x, s, d, d * (1 - 2 * s));
}
inline Number absolute(const Number& x) {
  kink_at(x);
  return x.v < 0 ? -x : x;
}
/// max(x, 0) with its derivative; at a fixed 0 it is 0.
inline Number positive_part(const Number& x) {
  kink_at(x);
  return x.v > 0 ? x : constant(0);
}

/// Σ of the terms, in whatever order the engine adds.
inline Number total(const std::vector<Number>& terms) {
  Number s;
  double size = 0, slope = 0;
  for (const Number& t : terms) {
    s = {s.v + t.v, s.a + t.a, s.b + t.b, s.ab + t.ab, s.ev + t.ev, s.ea + t.ea};
    size += std::abs(t.v);
    slope += std::abs(t.a);
  }
  double u = precision.unit * static_cast<double>(terms.size());
  s.ev += u * size;
  s.ea += u * slope;
  return s;
}

}  // namespace plumb::programs
