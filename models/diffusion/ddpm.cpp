// Times, noise and ancestral steps.
#include "models/diffusion/ddpm.h"

#include <cmath>
#include <string>

#include "ops/pointwise.h"
#include "ops/random.h"

namespace plumb::diffusion {

std::vector<int64_t> descending_times(int64_t start, int64_t steps) {
  if (steps < 1 || steps > start)
    throw ValueError("descending_times: " + std::to_string(steps) + " steps do not lie between 1 and the start " + std::to_string(start));
  std::vector<int64_t> times;
  for (int64_t i = steps; i >= 0; --i)
    times.push_back(static_cast<int64_t>(std::floor(-1 + static_cast<double>(start * i) / static_cast<double>(steps) + 1e-9)));
  return times;
}

Tensor posterior_sample(const VpSchedule& schedule, const Tensor& x, const Tensor& clean, int64_t t, Generator& generator) {
  double at = schedule.alpha_bar(t), before = schedule.alpha_bar(t - 1), beta = schedule.beta(t), variance = schedule.posterior_variance(t);
  Tensor mean = clean * (std::sqrt(before) * beta / (1 - at)) + x * (std::sqrt(1 - beta) * (1 - before) / (1 - at));
  return variance > 0 ? mean + randn_like(x, &generator) * std::sqrt(variance) : mean;
}

Tensor noised(const VpSchedule& schedule, const Tensor& clean, int64_t t, Generator& generator) {
  double a = schedule.alpha_bar(t);
  return clean * std::sqrt(a) + randn_like(clean, &generator) * std::sqrt(1 - a);
}

}  // namespace plumb::diffusion
