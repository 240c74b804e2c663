// Classifier-free guidance.
#include "models/diffusion/guidance.h"

#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::diffusion {

Tensor guided(const Tensor& conditional, const Tensor& unconditional, double scale) {
  return unconditional + (conditional - unconditional) * scale;
}

Denoiser classifier_free(Denoiser conditional, Denoiser both, GuidanceOptions o) {
  if (o.scale == 1) return conditional;
  return [=](const Tensor& x, const Tensor& sigma) {
    double level = max(sigma).item();
    if (!(level > o.sigma_low && level <= o.sigma_high)) return conditional(x, sigma);
    Tensor y = both(cat({x, x}), cat({sigma, sigma}));
    int64_t n = x.size(0);
    return guided(narrow(y, 0, 0, n), narrow(y, 0, n, n), o.scale);
  };
}

}  // namespace plumb::diffusion
