// Drawing noise levels.
#include "models/diffusion/noise_draw.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "models/diffusion/noise_schedule.h"
#include "ops/join.h"

namespace plumb::diffusion {

std::vector<int64_t> draw_places(const std::vector<double>& weights, int64_t n, Generator& generator) {
  std::vector<double> sums;
  double total = 0;
  for (double w : weights) {
    if (!(w >= 0)) throw ValueError("draw_places: weights must not be negative, one is " + decimal(w));
    sums.push_back(total += w);
  }
  if (!(total > 0))
    throw ValueError("draw_places: needs a positive weight, there are " + std::to_string(weights.size()) + " and their sum is 0");
  std::vector<int64_t> places;
  for (int64_t i = 0; i < n; ++i) {
    auto found = std::upper_bound(sums.begin(), sums.end(), generator.next_double() * total);
    places.push_back(std::min<int64_t>(found - sums.begin(), static_cast<int64_t>(sums.size()) - 1));
  }
  return places;
}

Tensor karras_uniform_sigmas(int64_t n, const HighNoiseOptions& o, Generator& generator) {
  if (!(o.depth > 0 && o.depth <= 1)) throw ValueError("karras_uniform_sigmas: depth must lie in (0, 1], it is " + decimal(o.depth));
  if (!(o.sigma_min > 0 && o.sigma_max > o.sigma_min && o.rho > 0))
    throw ValueError("karras_uniform_sigmas: needs 0 < sigma_min < sigma_max and rho > 0, got " + decimal(o.sigma_min) + ", " +
                     decimal(o.sigma_max) + " and " + decimal(o.rho));
  double top = std::pow(o.sigma_max, 1 / o.rho), bottom = std::pow(o.sigma_min, 1 / o.rho);
  std::vector<float> sigmas;
  for (int64_t i = 0; i < n; ++i)
    sigmas.push_back(static_cast<float>(std::pow(top + o.depth * generator.next_double() * (bottom - top), o.rho)));
  return from_vector(sigmas);
}

Tensor lognormal_and_high_sigmas(int64_t n, const HighNoiseOptions& o, Generator& generator) {
  if (!(o.std > 0)) throw ValueError("lognormal_and_high_sigmas: std must be positive, it is " + decimal(o.std));
  int64_t low = (n + 1) / 2;
  Tensor first = lognormal_sigmas(low, o.mean, o.std, generator);
  return cat({first, karras_uniform_sigmas(n - low, o, generator)});
}

}  // namespace plumb::diffusion
