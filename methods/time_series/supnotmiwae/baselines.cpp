// Baselines of supnotMIWAE.
#include "methods/time_series/supnotmiwae/baselines.h"

#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::supnotmiwae {

Tensor fill(const SeriesBatch& batch, Filling filling) {
  switch (filling) {
    case Filling::zero:
      return batch.values;
    case Filling::forward:
      return forward_fill(batch.values, batch.mask, batch.times).value * unsqueeze(batch.valid(), -1);
    default: {
      Tensor seen = sum(batch.mask, {1}, true), mean_ = sum(batch.values, {1}, true) / clamp_min(seen, 1);
      return where(batch.mask > 0, batch.values, mean_) * unsqueeze(batch.valid(), -1);
    }
  }
}

FilledClassifier::FilledClassifier(int64_t channels, int64_t classes, Filling filling, const NetworkOptions& options)
    : filling_(filling), classifier_(this, "classifier", 2 * channels, classes, 0, Aggregation::mean, options) {}

Tensor FilledClassifier::operator()(const SeriesBatch& raw, const Tensor& noise) const {
  SeriesBatch batch = raw.cleaned();
  Tensor filled = noise.defined() ? where(batch.mask > 0, batch.values, noise) : fill(batch, filling_);
  return classifier_(cat({filled, batch.mask}, -1), batch.times, batch.valid());
}

Tensor time_since_observed(const Tensor& mask, const Tensor& times) {
  int64_t series = mask.size(0), steps = mask.size(1), channels = mask.size(2);
  Tensor m = contiguous_data(to(mask.detach(), f64)), t = contiguous_data(to(times.detach(), f64)), since = zeros(mask.shape(), f64);
  const double *pm = m.data<double>(), *pt = t.data<double>();
  double* out = since.data<double>();
  for (int64_t n = 0; n < series; ++n)
    for (int64_t s = 1; s < steps; ++s)
      for (int64_t d = 0; d < channels; ++d) {
        int64_t at = (n * steps + s) * channels + d, before = at - channels;
        out[at] = pt[n * steps + s] - pt[n * steps + s - 1] + (pm[before] > 0 ? 0 : out[before]);
      }
  return to(since, mask.dtype());
}

GruD::GruD(int64_t channels, int64_t classes, int64_t hidden)
    : hidden_decay_(this, "hidden_decay", channels, hidden),
      cell_(this, "cell", 2 * channels, hidden),
      head_(this, "head", hidden, classes) {
  register_parameter("decay_w", decay_w_, zeros({channels}));
  register_parameter("decay_b", decay_b_, full({channels}, 0.05));
}

Tensor GruD::imputed(const SeriesBatch& raw) const {
  SeriesBatch batch = raw.cleaned();
  Tensor since = time_since_observed(batch.mask, batch.times);
  Tensor gamma = exp(-clamp_min(decay_w_ * since + decay_b_, 0));
  return where(batch.mask > 0, batch.values, gamma * forward_fill(batch.values, batch.mask, batch.times).value) *
         unsqueeze(batch.valid(), -1);
}

Tensor GruD::operator()(const SeriesBatch& raw, const Tensor& noise) const {
  SeriesBatch batch = raw.cleaned();
  Tensor x = noise.defined() ? where(batch.mask > 0, batch.values, noise) : imputed(batch);
  Tensor inputs = cat({x, batch.mask}, -1), valid = batch.valid();
  Tensor decay = exp(-clamp_min(hidden_decay_(time_since_observed(batch.mask, batch.times)), 0));
  Tensor h, total;
  for (int64_t t = 0; t < batch.steps(); ++t) {
    if (h.defined()) h = h * select(decay, 1, t);
    h = cell_(select(inputs, 1, t), h);
    Tensor part = h * narrow(valid, 1, t, 1);
    total = total.defined() ? total + part : part;
  }
  return head_(total / sum(valid, {1}, true));
}

}  // namespace plumb::methods::supnotmiwae
