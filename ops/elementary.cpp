// Elementary functions. Each line is the function and its derivative; y is the result, x the argument.
#include "ops/elementary.h"

#include <numbers>

#include "engine/autograd/record.h"
#include "ops/pointwise.h"
#include "ops/pointwise_call.h"
#include "ops/shape.h"

namespace plumb {
namespace {

// y = op(x), with dx a function of dy and x.
template <typename Derivative>
Tensor from_input(const char* name, UnaryOp op, const Tensor& input, Derivative dx, double a = 0) {
  Tensor x = detail::floating(input);
  return record(name, detail::unary(name, op, x, a), {x}, saving(x),
                [dx](const Grads& dy, const Saved& s, Needs) -> Grads { return dx(dy[0], s[0]); });
}

// y = op(x), with dx a function of dy and y.
template <typename Derivative>
Tensor from_output(const char* name, UnaryOp op, const Tensor& input, Derivative dx) {
  Tensor x = detail::floating(input), y = detail::unary(name, op, x);
  return record(name, y, {x}, saving(y), [dx](const Grads& dy, const Saved& s, Needs) -> Grads { return dx(dy[0], s[0]); });
}

// Piecewise constant y = op(x):  dx = 0.
Tensor step(const char* name, UnaryOp op, const Tensor& x) {
  return record(name, detail::unary(name, op, x), {x}, saving(),
                [](const Grads& dy, const Saved&, Needs) -> Grads { return zeros_like(dy[0]); });
}

using T = const Tensor&;
constexpr double kLn2 = std::numbers::ln2, kLn10 = std::numbers::ln10, kTwoOverSqrtPi = 2 * std::numbers::inv_sqrtpi;

}  // namespace

Tensor abs(T x) {
  return record("abs", detail::unary("abs", UnaryOp::abs, x), {x}, saving(x),
                [](const Grads& dy, const Saved& s, Needs) -> Grads { return dy[0] * detail::unary("sign", UnaryOp::sign, s[0]); });
}
Tensor sign(T x) { return step("sign", UnaryOp::sign, x); }
Tensor square(T x) {
  return record("square", detail::unary("square", UnaryOp::square, x), {x}, saving(x),
                [](const Grads& dy, const Saved& s, Needs) -> Grads { return dy[0] * s[0] * 2; });
}
Tensor sqrt(T x) { return from_output("sqrt", UnaryOp::sqrt, x, [](T dy, T y) { return dy / (y * 2); }); }
Tensor rsqrt(T x) { return from_output("rsqrt", UnaryOp::rsqrt, x, [](T dy, T y) { return dy * y * square(y) * -0.5; }); }
Tensor reciprocal(T x) { return from_output("reciprocal", UnaryOp::reciprocal, x, [](T dy, T y) { return neg(dy * square(y)); }); }
Tensor exp(T x) { return from_output("exp", UnaryOp::exp, x, [](T dy, T y) { return dy * y; }); }
Tensor exp2(T x) { return from_output("exp2", UnaryOp::exp2, x, [](T dy, T y) { return dy * y * kLn2; }); }
Tensor expm1(T x) { return from_output("expm1", UnaryOp::expm1, x, [](T dy, T y) { return dy * (y + 1); }); }
Tensor log(T x) { return from_input("log", UnaryOp::log, x, [](T dy, T x) { return dy / x; }); }
Tensor log2(T x) { return from_input("log2", UnaryOp::log2, x, [](T dy, T x) { return dy / (x * kLn2); }); }
Tensor log10(T x) { return from_input("log10", UnaryOp::log10, x, [](T dy, T x) { return dy / (x * kLn10); }); }
Tensor log1p(T x) { return from_input("log1p", UnaryOp::log1p, x, [](T dy, T x) { return dy / (x + 1); }); }
Tensor sin(T x) { return from_input("sin", UnaryOp::sin, x, [](T dy, T x) { return dy * cos(x); }); }
Tensor cos(T x) { return from_input("cos", UnaryOp::cos, x, [](T dy, T x) { return neg(dy * sin(x)); }); }
Tensor tan(T x) { return from_output("tan", UnaryOp::tan, x, [](T dy, T y) { return dy * (square(y) + 1); }); }
Tensor asin(T x) { return from_input("asin", UnaryOp::asin, x, [](T dy, T x) { return dy * rsqrt(1 - square(x)); }); }
Tensor acos(T x) { return from_input("acos", UnaryOp::acos, x, [](T dy, T x) { return neg(dy * rsqrt(1 - square(x))); }); }
Tensor atan(T x) { return from_input("atan", UnaryOp::atan, x, [](T dy, T x) { return dy / (square(x) + 1); }); }
Tensor sinh(T x) { return from_input("sinh", UnaryOp::sinh, x, [](T dy, T x) { return dy * cosh(x); }); }
Tensor cosh(T x) { return from_input("cosh", UnaryOp::cosh, x, [](T dy, T x) { return dy * sinh(x); }); }
Tensor asinh(T x) { return from_input("asinh", UnaryOp::asinh, x, [](T dy, T x) { return dy * rsqrt(square(x) + 1); }); }
Tensor acosh(T x) { return from_input("acosh", UnaryOp::acosh, x, [](T dy, T x) { return dy * rsqrt(square(x) - 1); }); }
Tensor atanh(T x) { return from_input("atanh", UnaryOp::atanh, x, [](T dy, T x) { return dy / (1 - square(x)); }); }
Tensor erf(T x) { return from_input("erf", UnaryOp::erf, x, [](T dy, T x) { return dy * exp(neg(square(x))) * kTwoOverSqrtPi; }); }
Tensor erfc(T x) { return from_input("erfc", UnaryOp::erfc, x, [](T dy, T x) { return dy * exp(neg(square(x))) * -kTwoOverSqrtPi; }); }
Tensor erfinv(T x) {
  return from_output("erfinv", UnaryOp::erfinv, x, [](T dy, T y) { return dy * exp(square(y)) * (1 / kTwoOverSqrtPi); });
}
Tensor lgamma(T x) { return from_input("lgamma", UnaryOp::lgamma, x, [](T dy, T x) { return dy * digamma(x); }); }
Tensor digamma(T x) { return from_input("digamma", UnaryOp::digamma, x, [](T dy, T x) { return dy * polygamma(1, x); }); }
Tensor polygamma(int n, T x) {
  if (n < 0) throw ValueError("polygamma: n must not be negative, it is " + std::to_string(n));
  return from_input("polygamma", UnaryOp::polygamma, x, [n](T dy, T x) { return dy * polygamma(n + 1, x); }, n);
}

// The two hottest have fused derivatives; under create_graph their formula is differentiated instead.
static Tensor fused(const char* name, BinaryOp op, T y, T dy) { return detail::binary(name, op, y, dy); }
Tensor tanh(T x) {
  return from_output("tanh", UnaryOp::tanh, x, [](T dy, T y) {
    return grad_enabled() ? dy * (1 - square(y)) : fused("tanh_backward", BinaryOp::tanh_backward, y, dy);
  });
}
Tensor sigmoid(T x) {
  return from_output("sigmoid", UnaryOp::sigmoid, x, [](T dy, T y) {
    return grad_enabled() ? dy * y * (1 - y) : fused("sigmoid_backward", BinaryOp::sigmoid_backward, y, dy);
  });
}

static Tensor rounded(const char* name, UnaryOp op, T x) { return is_floating(x.dtype()) ? step(name, op, x) : x; }
Tensor floor(T x) { return rounded("floor", UnaryOp::floor, x); }
Tensor ceil(T x) { return rounded("ceil", UnaryOp::ceil, x); }
Tensor round(T x) { return rounded("round", UnaryOp::round, x); }
Tensor trunc(T x) { return rounded("trunc", UnaryOp::trunc, x); }
Tensor nan_to_zero(T x) { return from_input("nan_to_zero", UnaryOp::nan_to_zero, x, [](T dy, T x) { return where(isnan(x), 0, dy); }); }

}  // namespace plumb
