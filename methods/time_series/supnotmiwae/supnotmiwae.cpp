// The model: samples of the latent, imputations, the bound and predictions. Leading axes are K latents (· J generated series), then the
// batch.
#include "methods/time_series/supnotmiwae/supnotmiwae.h"

#include <string>

#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::supnotmiwae {
namespace {

// x [B, ..] for each of `count` samples: [count · B, ..].
Tensor repeated(const Tensor& x, int64_t count) {
  if (!x.defined()) return x;
  Shape shape = x.shape(), flat = x.shape();
  shape.insert(0, count);
  flat[0] *= count;
  return reshape(expand(unsqueeze(x, 0), shape), flat);
}

// [n · B, ..] as [n, B, ..], and back.
Tensor by_sample(const Tensor& x, int64_t samples) { return unflatten(x, 0, {samples, -1}); }
Tensor flattened(const Tensor& x) { return flatten(x, 0, 1); }

// Each of K samples J times: [K, ..] → [K · J, ..], sample k J + j from k.
Tensor each_times(const Tensor& x, int64_t j) {
  Shape shape = x.shape(), flat = x.shape();
  shape.insert(1, j);
  flat[0] *= j;
  return reshape(expand(unsqueeze(x, 1), shape), flat);
}

double mean_of(const Tensor& x) { return mean(x.detach()).item(); }

}  // namespace

void Config::check() const {
  auto positive = [](const char* what, int64_t n) {
    if (n < 1) throw ValueError(std::string("supnotmiwae: ") + what + " must be at least 1, it is " + std::to_string(n));
  };
  positive("the number of channels", channels);
  positive("the number of classes", classes);
  positive("the latent's size", latent);
  positive("the longest series", longest);
  positive("K in training", train_latents);
  positive("J in training", train_samples);
  positive("K in tests", test_latents);
  positive("J in tests", test_samples);
  if (!(beta >= 0 && beta < 1)) throw ValueError("supnotmiwae: beta must lie in [0, 1), it is " + decimal(beta));
  for (double least : {latent_deviation, data_deviation})
    if (!(least > 0 && least < 1)) throw ValueError("supnotmiwae: a least deviation must lie in (0, 1), it is " + std::to_string(least));
}

SupNotMiwae::SupNotMiwae(const Config& c)
    : config_((c.check(), c)),
      prior_(c.longest, c.prior),
      encoder_(this, "encoder", c.channels, c.latent, c.latent_deviation,
               {.width = c.width, .heads = c.heads, .kernel = 8, .layers = c.encoder_layers}),
      decoder_(this, "decoder", c.latent, c.channels, c.data_deviation,
               {.width = c.width, .heads = c.heads, .kernel = 3, .layers = c.decoder_layers}),
      imputer_(this, "imputer", c.channels),
      missingness_(this, "missingness", c.channels, c.width, c.bounded_logits),
      classifier_(this, "classifier", c.channels, c.classes, c.statics, c.aggregation,
                  {.width = c.width, .heads = c.heads, .kernel = 3, .layers = c.classifier_layers, .dropout = c.classifier_dropout}) {}

SupNotMiwae::Samples SupNotMiwae::sample(const SeriesBatch& batch, int64_t count, Generator& generator) const {
  Tensor valid = batch.valid(), entries = unsqueeze(valid, -1);
  Gaussian q = encoder_(batch.values, batch.times, valid);
  Shape shape = q.mean.shape();
  shape.insert(0, count);
  Tensor z = q.mean + q.deviation * randn(shape, {.dtype = q.mean.dtype(), .generator = &generator});
  z = z * entries;  // steps beyond the end say nothing, not even noise
  Gaussian p = decoder_(flattened(z), repeated(batch.times, count), repeated(valid, count));
  Samples s{{by_sample(p.mean, count), by_sample(p.deviation, count)}, {}, {}, {}};
  s.log_p_x = sum(normal_log_density(batch.values, s.data.mean, s.data.deviation) * batch.mask, {-2, -1});
  s.log_q = sum(normal_log_density(z, q.mean * entries, where(entries > 0, q.deviation, 1.0)) * entries, {-2, -1});
  s.log_p_z = config_.gp ? prior_.log_density(z, batch.length) : sum(normal_log_density(z, zeros({}), ones({})) * entries, {-2, -1});
  return s;
}

Tensor SupNotMiwae::classify(const Tensor& series, const SeriesBatch& batch) const {
  int64_t count = series.size(0);
  return by_sample(
      classifier_(flattened(series), repeated(batch.times, count), repeated(batch.valid(), count), repeated(batch.statics, count)), count);
}

Loss SupNotMiwae::loss(const SeriesBatch& raw, const Tensor& labels, Generator& generator) const {
  SeriesBatch batch = raw.cleaned();
  int64_t k = config_.train_latents, j = config_.train_samples, total = k * j;
  Samples s = sample(batch, k, generator);
  Tensor kept = obs_dropout(batch.mask, config_.beta, total, generator);
  Tensor mean_ = each_times(s.data.mean, j), deviation = each_times(s.data.deviation, j);
  Tensor generated = mean_ + deviation * randn(mean_.shape(), {.dtype = mean_.dtype(), .generator = &generator});
  Tensor imputed = imputer_(batch, kept, generated);
  Shape label_shape{total, batch.size(), 1};
  Tensor picked = expand(unsqueeze(unsqueeze(labels, 0), -1), label_shape);
  auto split_samples = [&](const Tensor& x) { return by_sample(x, k); };  // [K J, B] → [K, J, B]
  ImportanceTerms terms;
  auto each = [&](const Tensor& x) { return expand(unsqueeze(x, 1), {k, j, batch.size()}); };
  terms.log_p_x = each(s.log_p_x);
  terms.log_p_z = each(s.log_p_z);
  terms.log_q = each(s.log_q);
  terms.log_p_y = split_samples(squeeze(gather(log_softmax(classify(imputed, batch), -1), 2, picked), -1));
  if (config_.missingness)
    terms.log_p_s =
        split_samples(by_sample(missingness_.log_probability(flattened(imputed), flattened(kept), repeated(batch.valid(), total)), total));
  if (config_.mask_probability && config_.beta > 0) terms.log_p_m = split_samples(dropout_log_probability(kept, batch.mask, config_.beta));
  Loss result;
  result.total = mean(importance_weighted_loss(terms));
  result.log_p_y = mean_of(terms.log_p_y);
  result.log_p_x = mean_of(s.log_p_x);
  result.log_p_s = terms.log_p_s.defined() ? mean_of(terms.log_p_s) : 0;
  result.kl = mean_of(s.log_q) - mean_of(s.log_p_z);
  result.effective_samples = mean_of(effective_sample_size(log_importance(terms).detach()));
  return result;
}

Tensor SupNotMiwae::generative_loss(const SeriesBatch& raw, Generator& generator) const {
  Samples s = sample(raw.cleaned(), config_.train_latents, generator);
  return mean(importance_weighted_loss({s.log_p_x, s.log_p_z, s.log_q}));
}

SupNotMiwae::Prediction SupNotMiwae::predict(const SeriesBatch& raw, Generator& generator, const Tensor& noise) const {
  NoGrad guard;
  SeriesBatch batch = raw.cleaned();
  int64_t k = config_.test_latents, j = config_.test_samples, total = k * j;
  Samples s = sample(batch, k, generator);
  Tensor mean_ = each_times(s.data.mean, j), deviation = each_times(s.data.deviation, j);
  Tensor generated = mean_ + deviation * randn(mean_.shape(), {.dtype = mean_.dtype(), .generator = &generator});
  Tensor kept = obs_dropout(batch.mask, 0, total, generator);
  Tensor imputed = imputer_(batch, kept, generated);
  if (noise.defined()) imputed = where(kept > 0, batch.values, noise);
  Tensor p = mean(by_sample(softmax(classify(imputed, batch), -1), k), {1});  // arithmetic mean over J
  Tensor log_r = log_importance({s.log_p_x, s.log_p_z, s.log_q});
  if (config_.missingness_in_prediction && config_.missingness) {
    Tensor log_p_s = missingness_.log_probability(flattened(imputed), flattened(kept), repeated(batch.valid(), total));
    log_r = log_r + mean(by_sample(by_sample(log_p_s, total), k), {1});
  }
  Tensor filled = imputer_(batch, obs_dropout(batch.mask, 0, k, generator), s.data.mean);
  Tensor weight = unsqueeze(unsqueeze(importance_weights(log_r), -1), -1);
  return {importance_predict(log_r, p), sum(weight * filled, {0}), effective_sample_size(log_r)};
}

std::vector<Tensor> SupNotMiwae::generative_parameters() const {
  std::vector<Tensor> all = encoder_.parameters();
  for (const Tensor& p : decoder_.parameters()) all.push_back(p);
  return all;
}

}  // namespace plumb::methods::supnotmiwae
