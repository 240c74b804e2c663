// Losses of denoisers.
#include "models/diffusion/loss.h"

#include <algorithm>
#include <string>

#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::diffusion {

double loss_weight(double s, const LossOptions& o) {
  if (!(s > 0)) throw ValueError("loss_weight: sigma must be positive, it is " + decimal(s));
  double s2 = s * s, d2 = o.sigma_data * o.sigma_data;
  switch (o.weighting) {
    case Weighting::eps: return 1 / s2;
    case Weighting::x0: return 1;
    case Weighting::v: return (s2 + 1) / s2;
    case Weighting::edm: return (s2 + d2) / (s2 * d2);
    default: return std::min(1 / s2, o.gamma);
  }
}

Tensor denoising_losses(const Denoiser& denoiser, const Tensor& clean, const Tensor& noise, const Tensor& sigma, const LossOptions& o) {
  if (clean.shape() != noise.shape())
    throw ShapeError("denoising_losses: noise " + to_string(noise.shape()) + " for data " + to_string(clean.shape()));
  std::vector<double> weights;
  for (double s : to_vector(sigma)) weights.push_back(loss_weight(s, o));
  Tensor error = denoiser(clean + per_example(sigma, clean) * noise, sigma) - clean;
  Tensor w = to(to(from_vector(weights), compute_dtype(error.dtype())), error.device());
  return w * mean(flatten(square(error), 1), {1});
}

Tensor pseudo_huber_distance(const Tensor& u, const Tensor& v, double c) {
  if (!(c > 0)) throw ValueError("pseudo_huber_distance: c must be positive, it is " + decimal(c));
  if (u.shape() != v.shape() || u.rank() < 2)
    throw ShapeError("pseudo_huber_distance: takes two [B, ..] of one shape, got " + to_string(u.shape()) + " and " + to_string(v.shape()));
  return sqrt(sum(flatten(square(u - v), 1), {1}) + c * c) - c;
}

}  // namespace plumb::diffusion
