// The normal distribution function and its inverse.
#include "models/metrics/normal.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "engine/core/error.h"

namespace plumb {

double normal_cdf(double z) { return 0.5 * std::erfc(-z / std::numbers::sqrt2); }

// Newton's iteration on log Φ, which is concave, from the left of the root: Φ(z) ≤ ½ exp(−z²/2) for z ≤ 0. So every step stays on that
// side and the last ones converge quadratically.
double normal_quantile(double p) {
  if (!(p > 0 && p < 1)) throw ValueError("normal_quantile: p must lie in (0, 1), got " + decimal(p));
  if (p > 0.5) return -normal_quantile(1 - p);
  double z = -std::sqrt(std::max(0.0, -2 * std::log(2 * p)));
  for (int i = 0; i < 100; ++i) {
    double cdf = normal_cdf(z), density = std::exp(-0.5 * z * z) / std::sqrt(2 * std::numbers::pi);
    double step = (std::log(cdf) - std::log(p)) * cdf / density;
    z -= step;
    if (std::abs(step) < 1e-15 * (1 + std::abs(z))) break;
  }
  return z;
}

}  // namespace plumb
