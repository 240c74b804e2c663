// Moments, quantiles and draws of the generalised Gaussian distribution.
#include "methods/common/generalized_gaussian.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "ops/distributions.h"
#include "ops/elementary.h"
#include "ops/incomplete_gamma_functions.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods {
namespace {

constexpr int kTableFirst = 10, kTableLast = 300;  // hundredths

double table_shape(int hundredths) { return hundredths / 100.0; }

// The g with P(s, g) = lower, where lower + upper = 1: the smaller of the two is the exact one.
double inverse_gamma(double s, double lower, double upper) {
  auto error = [&](double g) {
    return lower <= 0.5 ? incomplete::value_at<0>(s, g, false) - lower : upper - incomplete::value_at<0>(s, g, true);
  };
  double low = std::exp((std::log(lower) + std::lgamma(s + 1)) / s);  // P(s, g) ≤ g^s / Γ(s + 1)
  if (low == 0) return 0;
  double high = 2 * low + 1e-300;
  while (error(high) < 0) low = high, high *= 2;
  double g = low;
  for (int k = 0; k < 200; ++k) {
    double e = error(g);
    if (e == 0) return g;
    (e < 0 ? low : high) = g;
    double next = g - e * std::exp(g - (s - 1) * std::log(g) + std::lgamma(s));
    if (!(next > low && next < high)) next = low + (high - low) / 2;
    if (std::abs(next - g) <= 4e-16 * next) return next;
    g = next;
  }
  return g;
}

}  // namespace

void GeneralizedGaussian::check() const {
  auto fine = [](double x) { return x > 0 && std::isfinite(x); };
  if (!fine(shape)) throw ValueError("generalized_gaussian: shape must be positive, it is " + decimal(shape));
  if (!fine(scale)) throw ValueError("generalized_gaussian: scale must be positive, it is " + decimal(scale));
}

double GeneralizedGaussian::log_density(double x) const {
  check();
  return std::log(shape / (2 * scale)) - std::lgamma(1 / shape) - std::pow(std::abs(x) / scale, shape);
}

double GeneralizedGaussian::cdf(double x) const {
  check();
  double tail = 0.5 * incomplete::value_at<0>(1 / shape, std::pow(std::abs(x) / scale, shape), true);  // beyond |x|, on one side
  return x < 0 ? tail : 1 - tail;
}

double GeneralizedGaussian::quantile(double p) const {
  check();
  if (!(p > 0 && p < 1)) throw ValueError("generalized_gaussian: a quantile is of p in (0, 1), got " + decimal(p));
  if (p == 0.5) return 0;
  double tail = 2 * std::min(p, 1 - p);
  double x = scale * std::pow(inverse_gamma(1 / shape, 1 - tail, tail), 1 / shape);
  return p < 0.5 ? -x : x;
}

double GeneralizedGaussian::entropy() const {
  check();
  return 1 / shape - std::log(shape / (2 * scale)) + std::lgamma(1 / shape);
}

double GeneralizedGaussian::variance() const {
  check();
  return scale * scale * std::exp(std::lgamma(3 / shape) - std::lgamma(1 / shape));
}

double GeneralizedGaussian::mean_abs() const {
  check();
  return scale * std::exp(std::lgamma(2 / shape) - std::lgamma(1 / shape));
}

Tensor GeneralizedGaussian::sample(const Shape& size, RandomOptions options) const {
  check();
  NoGrad off;
  RandomOptions exact = options;
  exact.dtype = f64;
  Tensor magnitude = pow(gamma(size, 1 / shape, 1, exact), 1 / shape) * scale;
  Tensor side = bernoulli(size, 0.5, exact) * 2 - 1;
  return to(magnitude * side, options.dtype);
}

GeneralizedGaussian GeneralizedGaussian::of_variance(double shape, double variance) {
  GeneralizedGaussian unit{shape, 1};
  return {shape, std::sqrt(variance / unit.variance())};
}

double moment_ratio(double shape) {
  if (!(shape > 0)) throw ValueError("generalized_gaussian: shape must be positive, it is " + decimal(shape));
  return std::exp(std::lgamma(1 / shape) + std::lgamma(3 / shape) - 2 * std::lgamma(2 / shape));
}

WeightMoments weight_moments(const std::vector<Tensor>& parameters) {
  NoGrad off;
  WeightMoments m;
  for (const Tensor& p : parameters) {
    Tensor w = to(p.detach(), f64);
    m.sum_abs += sum(abs(w)).item();
    m.sum_squares += sum(square(w)).item();
    m.count += w.numel();
  }
  if (m.count == 0) throw ValueError("weight_moments: there are no weights");
  return m;
}

ShapeFit fit_moments(const WeightMoments& m) {
  if (m.count < 1) throw ValueError("fit_moments: there are no weights");
  if (!(m.sum_abs > 0)) throw ValueError("fit_moments: all weights are 0; zeros have no shape");
  auto n = static_cast<double>(m.count);
  double ratio = n * m.sum_squares / (m.sum_abs * m.sum_abs);
  int low = kTableFirst, high = kTableLast;  // ρ(low) is above the ratio, ρ(high) below, or they are the ends
  while (high - low > 1) {
    int middle = (low + high) / 2;
    (moment_ratio(table_shape(middle)) > ratio ? low : high) = middle;
  }
  double above = moment_ratio(table_shape(low)) - ratio, below = ratio - moment_ratio(table_shape(high));
  return {.shape = table_shape(above < below ? low : high),
          .ratio = ratio,
          .deviation = std::sqrt(m.sum_squares / n),
          .saturated = above < 0 || below < 0};
}

}  // namespace plumb::methods
