// Conditioned scales and shifts, forward.
#include "models/nn/modulation.h"

#include "models/nn/init.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::nn {
namespace {

// [n, C] with dimensions of size 1 where x has places.
Tensor beside(const Tensor& p, const Tensor& x, bool last) {
  Shape shape = x.shape();
  for (int i = 1; i < x.rank(); ++i) shape[i] = 1;
  shape[last ? x.rank() - 1 : 1] = p.size(1);
  return reshape(p, shape);
}

Tensor modulated(const Tensor& x, const Tensor& both, bool last) {
  int64_t channels = both.size(1) / 2;
  return film(x, narrow(both, 1, 0, channels), narrow(both, 1, channels, channels), last);
}

void start(Linear& projection, const ModulationOptions& o) {
  if (!o.zero) return;
  init::zeros(projection.weight);
  init::zeros(projection.bias);
}

}  // namespace

Tensor film(const Tensor& x, const Tensor& scale, const Tensor& shift, bool last) {
  bool fits = x.rank() >= 2 && scale.shape() == shift.shape() && scale.shape() == Shape{x.size(0), x.size(last ? -1 : 1)};
  if (!fits)
    throw ShapeError("film: scale " + to_string(scale.shape()) + " and shift " + to_string(shift.shape()) + " do not fit x " +
                     to_string(x.shape()));
  return x * beside(scale + 1, x, last) + beside(shift, x, last);
}

FiLM::FiLM(int64_t condition, int64_t channels, ModulationOptions o)
    : projection(this, "projection", condition, 2 * channels, {true, o.dtype, o.device}) {
  start(projection, o);
}
Tensor FiLM::operator()(const Tensor& x, const Tensor& condition) const { return modulated(x, projection(condition), false); }

AdaptiveGroupNorm::AdaptiveGroupNorm(int64_t condition, int64_t groups, int64_t channels, ModulationOptions o)
    : norm(this, "norm", groups, channels, {.eps = o.eps, .dtype = o.dtype, .device = o.device}),
      projection(this, "projection", condition, 2 * channels, {true, o.dtype, o.device}) {
  start(projection, o);
}
Tensor AdaptiveGroupNorm::operator()(const Tensor& x, const Tensor& condition) const {
  return modulated(norm(x), projection(condition), false);
}

AdaptiveLayerNorm::AdaptiveLayerNorm(int64_t condition, int64_t channels, ModulationOptions o)
    : norm(this, "norm", channels, {.eps = o.eps, .affine = false, .dtype = o.dtype, .device = o.device}),
      projection(this, "projection", condition, 2 * channels, {true, o.dtype, o.device}) {
  start(projection, o);
}
Tensor AdaptiveLayerNorm::operator()(const Tensor& x, const Tensor& condition) const {
  return modulated(norm(x), projection(condition), true);
}

}  // namespace plumb::nn
