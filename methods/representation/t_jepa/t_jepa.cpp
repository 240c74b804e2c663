// The training step of T-JEPA, its schedules, and what is taken from the trained encoder.
#include "methods/representation/t_jepa/t_jepa.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/autograd/grad_mode.h"
#include "models/nn/init.h"
#include "models/optim/clip.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods::t_jepa {

Tensor jepa_loss(const Tensor& predicted, const Tensor& target) { return mse_loss(predicted, target.detach()); }

double ema_momentum(int64_t i, double start, int64_t total) {
  if (!(start >= 0 && start <= 1) || total < 1) throw ValueError(fmt::format("ema_momentum: from {} over {} steps", start, total));
  return start + static_cast<double>(std::min(i, total)) * (1 - start) / static_cast<double>(total);
}

double warmup_cosine_rate(int64_t step, int64_t warmup, int64_t total, double first, double peak, double last) {
  if (step < 1 || warmup < 0 || warmup >= total)
    throw ValueError(fmt::format("warmup_cosine_rate: step {} with {} of warm-up in {}", step, warmup, total));
  if (step <= warmup) return first + (peak - first) * static_cast<double>(step) / static_cast<double>(warmup);
  double progress = static_cast<double>(std::min(step, total) - warmup) / static_cast<double>(total - warmup);
  return last + (peak - last) * (1 + std::cos(std::numbers::pi * progress)) / 2;
}

TJepaTrainer::TJepaTrainer(const EncoderOptions& encoder, const PredictorOptions& predictor, TrainerOptions options)
    : options_(options),
      encoder_(encoder),
      predictor_(encoder, predictor),
      masks_(encoder.features(), options.masks),
      target_(encoder_),
      adamw_(groups()) {
  warmup_cosine_rate(1, options.warmup, options.steps, 0, options.lr, 0);  // its errors now, not at the first step
  ema_momentum(0, options.ema_start, options.steps);
  target_.model.eval();
}

std::vector<optim::Group<optim::AdamWOptions>> TJepaTrainer::groups() const {
  optim::AdamWOptions decayed{.lr = options_.lr, .weight_decay = options_.weight_decay}, plain{.lr = options_.lr, .weight_decay = 0};
  std::vector<optim::Group<optim::AdamWOptions>> groups{{{}, decayed}, {{}, plain}};
  for (const nn::Module* module : {static_cast<const nn::Module*>(&encoder_), static_cast<const nn::Module*>(&predictor_)})
    for (const nn::NamedTensor& p : module->named_parameters())
      groups[p.name.ends_with("bias") || p.tensor.rank() <= 1].parameters.push_back(p.tensor);
  return groups;
}

Tensor TJepaTrainer::loss(const Tensor& numbers, const Tensor& categories, const FeatureMasks& masks) const {
  Tensor hidden;
  {
    NoGrad off;
    hidden = target_.model(numbers, categories);
  }
  Tensor z = encoder_(numbers, categories, masks.context);
  return jepa_loss(predictor_(z, masks.context, masks.targets), gather_targets(hidden, masks.targets, encoder_.options().n_reg));
}

double TJepaTrainer::step(const Tensor& numbers, const Tensor& categories, Generator& generator) {
  int64_t rows = numbers.defined() ? numbers.size(0) : categories.size(0);
  adamw_.set_lr_scale(options_.lr > 0 ? warmup_cosine_rate(steps_ + 1, options_.warmup, options_.steps, 0, options_.lr, 0) / options_.lr
                                      : 0);
  adamw_.zero_grad();
  Tensor value = loss(numbers, categories, masks_.sample(rows, generator));
  value.backward();
  optim::clip_grad_value(encoder_.parameters(), options_.clamp);
  adamw_.step();
  target_.update(encoder_, ema_momentum(steps_++, options_.ema_start, options_.steps));
  return value.item();
}

Tensor extract_features(TabularEncoder& encoder, const Tensor& numbers, const Tensor& categories, int64_t batch) {
  if (batch < 1) throw ValueError(fmt::format("extract_features: a batch of {}", batch));
  NoGrad off;
  bool training = encoder.training();
  encoder.eval();
  auto rows = [](const Tensor& x, int64_t first, int64_t last) { return x.defined() ? slice(x, 0, first, last) : x; };
  int64_t n = numbers.defined() ? numbers.size(0) : categories.size(0);
  std::vector<Tensor> parts;
  for (int64_t first = 0; first < n; first += batch)
    parts.push_back(encoder(rows(numbers, first, first + batch), rows(categories, first, first + batch)));
  encoder.train(training);
  return parts.empty() ? empty({0, encoder.options().tokens(), encoder.options().width}) : cat(parts, 0);
}

LinearPerFeature::LinearPerFeature(int64_t tokens, int64_t width, int64_t out) {
  if (tokens < 1 || width < 1 || out < 1)
    throw ValueError(fmt::format("linear_per_feature: {} tokens of {} numbers to {}", tokens, width, out));
  double bound = 1 / std::sqrt(static_cast<double>(width));
  register_parameter("weight", weight, empty({tokens, width, out}));
  register_parameter("bias", bias, empty({tokens, out}));
  for (const Tensor& t : {static_cast<Tensor>(weight), static_cast<Tensor>(bias)}) nn::init::uniform(t, -bound, bound);
}

Tensor LinearPerFeature::operator()(const Tensor& x) const {
  if (x.rank() != 3 || x.size(1) != weight.size(0) || x.size(2) != weight.size(1))
    throw ShapeError(fmt::format("linear_per_feature: takes [B, {}, {}], got {}", weight.size(0), weight.size(1), to_string(x.shape())));
  return flatten(transpose(matmul(transpose(x, 0, 1), weight), 0, 1) + bias, 1);
}

}  // namespace plumb::methods::t_jepa
