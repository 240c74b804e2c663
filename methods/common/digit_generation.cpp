// Digits as vectors, and their teacher.
#include "methods/common/digit_generation.h"

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "models/diffusion/consistency_training.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods {

using namespace diffusion;

DigitVectors::DigitVectors(Device device) {
  data::Dataset all = data::digits().all();
  for (const auto& batch : all.batch(all.size())) {
    rows = flatten(batch.image, 1);
    labels = batch.label;
  }
  mean_ = plumb::mean(rows).item();
  scale_ = std_dev(rows, {}, 0).item() * 2;
  rows = to((rows - mean_) / scale_, device);
  labels = to(labels, device);
  statistics_ = metrics::feature_statistics(rows);
}

TimeMlp DigitVectors::network(bool second_time) const {
  TimeMlp network({.features = rows.size(1), .second_time = second_time});
  network.to(rows.device());
  return network;
}

Tensor DigitVectors::batch(int64_t n, Generator& generator) const {
  return index_select(rows, 0, to(randint(0, rows.size(0), {n}, {.dtype = i64, .generator = &generator}), rows.device()));
}

double DigitVectors::frechet_distance(const Tensor& samples) const {
  if (!std::isfinite(sum(samples).item())) return INFINITY;
  return metrics::frechet_distance(metrics::feature_statistics(samples), statistics_);
}

Tensor DigitVectors::clipped(const Tensor& x) const { return clamp(x, -mean_ / scale_, (1 - mean_) / scale_); }

Tensor DigitVectors::images(const Tensor& x) const {
  return to(reshape(clamp(x * scale_ + mean_, 0, 1), {x.size(0), 1, 8, 8}), Device(cpu));
}

Denoiser denoiser(const TimeMlp& network) { return as_denoiser(network); }

TimeMlp train_denoiser(const DigitVectors& digits, const DenoiserTraining& o, const std::function<void(double)>& progress) {
  return train_denoiser_of(digits, o, progress);
}

TimeMlp train_consistency_model(const DigitVectors& digits, const ConsistencyModelTraining& o,
                                const std::function<void(double)>& progress) {
  TimeMlp network = digits.network();
  ConsistencyTraining<TimeMlp> training(network, {.pairs = {.steps = o.steps, .s0 = o.s0, .s1 = o.s1}});
  optim::Adam adam(network.parameters(), {.lr = o.lr});
  optim::Ema<TimeMlp> average(network, {.decay = o.ema, .warmup = true});
  for (int64_t k = 0; k < o.steps; ++k) {
    Tensor loss = mean(training.losses(k, digits.batch(o.batch)));
    adam.zero_grad();
    loss.backward();
    adam.step();
    average.update(network);
    if (k % 50 == 0) progress(static_cast<double>(k) / static_cast<double>(o.steps));
  }
  return average.model;
}

Denoiser consistency_model(const TimeMlp& network) { return as_consistency_model(network); }

std::vector<double> few_step_levels(int64_t steps) {
  if (steps < 1) throw ValueError("few_step_levels: the number of steps must be at least 1, it is " + std::to_string(steps));
  std::vector<double> levels = karras_sigmas(steps + 1);
  levels.pop_back();
  return levels;
}

}  // namespace plumb::methods
