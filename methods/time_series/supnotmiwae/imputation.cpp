// Masks, last values, decay.
#include "methods/time_series/supnotmiwae/imputation.h"

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::supnotmiwae {

Tensor SeriesBatch::valid() const {
  Tensor step = arange(0, steps(), 1, i64);
  return to(unsqueeze(step, 0) < unsqueeze(length, 1), values.dtype());
}

SeriesBatch SeriesBatch::cleaned() const {
  if (values.rank() != 3 || mask.shape() != values.shape() || times.shape() != Shape{size(), steps()} || length.shape() != Shape{size()})
    throw ShapeError("series: values " + to_string(values.shape()) + ", mask " + to_string(mask.shape()) + ", times " +
                     to_string(times.shape()) + " and lengths " + to_string(length.shape()) + " do not fit");
  for (int64_t n : to_vector<int64_t>(length))
    if (n < 1 || n > steps())
      throw ValueError("series: a length of " + std::to_string(n) + " is outside [1, " + std::to_string(steps()) + "]");
  Tensor v = valid(), entries = unsqueeze(v, -1);
  Tensor m = mask * entries;
  return {where(m > 0, values, 0.0), m, where(v > 0, times, 0.0), length, statics};  // not products: what is missing may be NaN
}

Tensor obs_dropout(const Tensor& mask, double beta, int64_t samples, Generator& generator) {
  if (!(beta >= 0 && beta < 1)) throw ValueError("obs_dropout: the rate must lie in [0, 1), it is " + decimal(beta));
  Shape shape = mask.shape();
  shape.insert(0, samples);
  if (beta == 0) return expand(unsqueeze(mask, 0), shape);
  return mask * bernoulli(shape, 1 - beta, {.dtype = mask.dtype(), .generator = &generator});
}

Tensor dropout_log_probability(const Tensor& kept, const Tensor& mask, double beta) {
  if (beta == 0) return sum(kept * 0.0, {-2, -1});
  return sum(kept * std::log(1 - beta) + (mask - kept) * std::log(beta), {-2, -1});
}

LastSeen forward_fill(const Tensor& values, const Tensor& mask, const Tensor& times) {
  int64_t steps = mask.size(-2), channels = mask.size(-1), series = mask.numel() / std::max<int64_t>(1, steps * channels);
  Shape time_shape = mask.shape().slice(0, mask.rank() - 1);
  Tensor x = contiguous_data(to(expand(values.detach(), mask.shape()), f64)), m = contiguous_data(to(mask.detach(), f64)),
         t = contiguous_data(to(expand(times.detach(), time_shape), f64));
  Tensor last = empty(mask.shape(), f64), elapsed = empty(mask.shape(), f64);
  const double *px = x.data<double>(), *pm = m.data<double>(), *pt = t.data<double>();
  double *out = last.data<double>(), *ago = elapsed.data<double>();
  for (int64_t n = 0; n < series; ++n)
    for (int64_t d = 0; d < channels; ++d) {
      double value = 0, since = 0;
      for (int64_t s = 0; s < steps; ++s) {
        int64_t at = (n * steps + s) * channels + d;
        if (pm[at] > 0) value = px[at], since = pt[n * steps + s];
        out[at] = value;
        ago[at] = pt[n * steps + s] - since;
      }
    }
  return {to(last, values.dtype()), to(elapsed, values.dtype())};
}

Tensor decay_impute(const Tensor& values, const Tensor& kept, const LastSeen& last, const Tensor& generated, const Tensor& w,
                    const Tensor& b) {
  Tensor gamma = exp(-clamp_min(w * last.elapsed + b, 0));
  return where(kept > 0, values, generated + gamma * (last.value - generated));
}

DecayImputer::DecayImputer(nn::Module* parent, std::string name, int64_t channels) : Module(parent, std::move(name)) {
  register_parameter("w", w, zeros({channels}));
  register_parameter("b", b, full({channels}, 0.05));
}

Tensor DecayImputer::operator()(const SeriesBatch& batch, const Tensor& kept, const Tensor& generated) const {
  return decay_impute(batch.values, kept, forward_fill(batch.values, kept, batch.times), generated, w, b);
}

void DecayImputer::project() {
  NoGrad guard;
  Tensor least = clamp_min(b, 0);
  copy_data(least, b);
}

Tensor time_code(const Tensor& times, int64_t width) {
  Tensor largest = amax(times, {-1}, true);
  Tensor scaled = unsqueeze(times / where(largest > 0, largest, 1.0), -1);
  std::vector<double> rate, phase;
  for (int64_t i = 0; i < width; ++i) {
    rate.push_back(std::pow(100, width > 1 ? -static_cast<double>(i) / static_cast<double>(width - 1) : 0));
    phase.push_back(i % 2 == 0 ? 0 : 1.5707963267948966);  // cos t = sin(t + π/2)
  }
  return sin(scaled * to(from_vector(rate), times.dtype()) + to(from_vector(phase), times.dtype()));
}

}  // namespace plumb::methods::supnotmiwae
