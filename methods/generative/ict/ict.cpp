// The two recipes, and sampling.
#include "methods/generative/ict/ict.h"

#include <string>

#include "engine/autograd/grad_mode.h"
#include "models/diffusion/sampler.h"
#include "ops/pointwise.h"
#include "ops/random.h"

namespace plumb::methods::ict {

using namespace diffusion;

ConsistencyRecipe improved(int64_t steps, int64_t s0, int64_t s1) {
  ConsistencyRecipe recipe{.pairs = {.steps = steps, .s0 = s0, .s1 = s1}};  // the defaults are iCT's
  recipe.check();
  return recipe;
}

ConsistencyRecipe original(int64_t steps, int64_t s1, double mu0) {
  ConsistencyRecipe recipe{.pairs = {.steps = steps,
                                     .curriculum = ConsistencyCurriculum::growing,
                                     .s0 = 2,
                                     .s1 = s1,
                                     .law = IntervalLaw::uniform,
                                     .weight = IntervalWeight::one},
                           .metric = ConsistencyMetric::mean_square,
                           .target = ConsistencyTarget::average,
                           .ema_s0 = 2,
                           .ema_mu0 = mu0};
  recipe.check();
  return recipe;
}

Tensor sample(const Denoiser& model, const Shape& shape, const SampleOptions& o, DType dtype, Device device) {
  std::vector<double> levels{o.sigma_max};
  levels.insert(levels.end(), o.levels.begin(), o.levels.end());
  if (!(levels.back() > o.sigma_min))
    throw ValueError("sample: levels must lie above sigma_min " + decimal(o.sigma_min) + ", one is " +
                     decimal(levels.back()));
  NoGrad off;
  Tensor x = randn(shape, {.dtype = dtype, .device = device, .generator = o.generator}) * o.sigma_max;
  x = diffusion::sample(model, x, levels, {.sampler = Sampler::consistency, .sigma_min = o.sigma_min, .generator = o.generator});
  return clamp(x, o.low, o.high);
}

}  // namespace plumb::methods::ict
