// Robust distances, in operations.
#include "models/diffusion/robust_metric.h"

#include <string>

#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::diffusion {
namespace {

void check(const char* who, const Tensor& u, const Tensor& v, double c) {
  if (!(c > 0)) throw ValueError(std::string(who) + ": c must be positive, it is " + decimal(c));
  if (u.shape() != v.shape() || u.rank() < 2)
    throw ShapeError(std::string(who) + ": takes two [B, ..] of one shape, got " + to_string(u.shape()) + " and " + to_string(v.shape()));
}

}  // namespace

Tensor robust_metric(RobustMetric kind, const Tensor& u, const Tensor& v, double c, SquareReduction reduction) {
  check("robust_metric", u, v, c);
  Tensor squares = flatten(square(u - v), 1), r2 = reduction == SquareReduction::sum ? sum(squares, {1}) : mean(squares, {1});
  switch (kind) {
    case RobustMetric::pseudo_huber:
      return sqrt(r2 + c * c) - c;
    case RobustMetric::cauchy:
      return log1p(r2 * (1 / (2 * c * c)));  // log(r²/2 + c²) − 2 log c would cancel for r ≪ c
    default:
      return 2 * r2 / (r2 + 4 * c * c);
  }
}

Tensor elementwise_huber(const Tensor& u, const Tensor& v, double c) {
  check("elementwise_huber", u, v, c);
  return mean(flatten(sqrt(square(u - v) + c * c) - c, 1), {1});
}

}  // namespace plumb::diffusion
