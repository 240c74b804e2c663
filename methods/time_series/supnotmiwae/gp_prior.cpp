// The Gaussian process prior.
#include "methods/time_series/supnotmiwae/gp_prior.h"

#include <cmath>
#include <numbers>
#include <string>

#include "engine/core/error.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::supnotmiwae {

GpPrior::GpPrior(int64_t steps, const GpPriorOptions& o) {
  if (steps < 1) throw ValueError("gp_prior: there must be at least one step, there are " + std::to_string(steps));
  if (!(o.length_scale >= 0 && o.variance > 0 && o.jitter > 0))
    throw ValueError("gp_prior: length scale, variance and jitter must be positive, they are " + decimal(o.length_scale) + ", " +
                     decimal(o.variance) + " and " + decimal(o.jitter));
  covariance_ = empty({steps, steps}, f64);
  double* c = covariance_.data<double>();
  for (int64_t i = 0; i < steps; ++i)
    for (int64_t j = 0; j < steps; ++j) {
      double apart = static_cast<double>(i - j), square = apart * apart / (o.length_scale * o.length_scale);
      c[i * steps + j] = i == j ? o.variance + o.jitter : o.length_scale > 0 ? o.variance / (1 + square) : 0;
    }
  Tensor factor = cholesky(covariance_);
  whitening_ = triangular_solve(factor, eye(steps, -1, f64));
  log_diagonal_ = log(diagonal(factor));
}

Tensor GpPrior::log_density(const Tensor& z, const Tensor& length) const {
  int64_t steps = z.size(-2);
  if (steps > whitening_.size(0))
    throw ShapeError("gp_prior: the series " + to_string(z.shape()) + " have more steps than the prior, " +
                     std::to_string(whitening_.size(0)));
  Tensor whitened = matmul(to(narrow(narrow(whitening_, 0, 0, steps), 1, 0, steps), z.dtype()), z);
  Tensor constant = to(narrow(log_diagonal_, 0, 0, steps) + 0.5 * std::log(2 * std::numbers::pi), z.dtype());
  Tensor each = square(whitened) * 0.5 + unsqueeze(constant, -1);
  Tensor valid = to(unsqueeze(arange(0, steps, 1, i64), 0) < unsqueeze(length, 1), z.dtype());
  return -sum(each * unsqueeze(valid, -1), {-2, -1});
}

Tensor normal_log_density(const Tensor& x, const Tensor& mean, const Tensor& deviation) {
  return square((x - mean) / deviation) * -0.5 - log(deviation) - 0.5 * std::log(2 * std::numbers::pi);
}

}  // namespace plumb::methods::supnotmiwae
