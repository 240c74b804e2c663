// The companding function and its inverse.
#include "methods/regularization/weight_compander/compand.h"

#include <fmt/format.h>

#include <cmath>
#include <numbers>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"

namespace plumb::methods::weight_compander {
namespace {

void check_constants(double a, double b) {
  if (!(a > 0)) throw ValueError(fmt::format("compand: a must be positive, it is {}", a));
  if (!(b > 0)) throw ValueError(fmt::format("compand: b must be positive, it is {}", b));
}

Tensor bounded(const Tensor& x, Bounded function) { return function == Bounded::arctan ? atan(x) : tanh(x); }

}  // namespace

Tensor compand(const Tensor& v, double a, double b, Bounded function) {
  check_constants(a, b);
  return bounded(v / b, function) * a;
}

Tensor compand(const Tensor& v, const Tensor& a, const Tensor& b, Bounded function) { return bounded(v / b, function) * a; }

Tensor compand_inverse(const Tensor& w, double a, double b, double clip, Bounded function) {
  check_constants(a, b);
  if (!(clip > 0 && clip < std::numbers::pi / 2))
    throw ValueError(fmt::format("compand_inverse: clip must lie in (0, π/2), it is {}", clip));
  NoGrad off;
  Tensor ratio = w / a;
  if (function == Bounded::arctan) return tan(clamp(ratio, -clip, clip)) * b;
  double most = 2 * clip / std::numbers::pi;
  return atanh(clamp(ratio, -most, most)) * b;
}

// v/a = arctan(v/b) has one positive solution when a > b, below a π/2: halving finds it.
double fixed_point(double a, double b) {
  check_constants(a, b);
  if (a <= b) return 0;
  double low = 0, high = a * std::numbers::pi / 2;
  for (int i = 0; i < 200; ++i) {
    double middle = (low + high) / 2;
    (a * std::atan(middle / b) > middle ? low : high) = middle;
  }
  return (low + high) / 2;
}

}  // namespace plumb::methods::weight_compander
