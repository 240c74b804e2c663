// A generator's distance on fixed noise.
#include "methods/common/fixed_noise.h"

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "ops/reduce.h"

namespace plumb::methods {

FixedNoise::FixedNoise(Tensor noise, const Tensor& reference, std::function<Tensor(const Tensor&)> features)
    : noise_(std::move(noise)),
      features_(std::move(features)),
      reference_(metrics::feature_statistics(features_ ? features_(reference) : reference)) {}

double FixedNoise::operator()(const std::function<Tensor(const Tensor& noise)>& generator) const {
  NoGrad off;
  Tensor samples = generator(noise_);
  if (!std::isfinite(sum(samples).item())) return INFINITY;
  return metrics::frechet_distance(metrics::feature_statistics(features_ ? features_(samples) : samples), reference_);
}

}  // namespace plumb::methods
