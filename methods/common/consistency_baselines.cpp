// The Pi-model, interpolation consistency and MixMatch.
#include "methods/common/consistency_baselines.h"

#include <fmt/format.h>

#include "engine/core/error.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods {
namespace {

void check_weight(const char* name, double weight, int64_t ramp = 0) {
  if (!(weight >= 0)) throw ValueError(fmt::format("{}: the weight must not be negative, it is {}", name, weight));
  if (ramp < 0) throw ValueError(fmt::format("{}: a ramp of {} steps", name, ramp));
}

Tensor order_of(int64_t n, Generator& generator) { return randperm(n, {.dtype = i64, .generator = &generator}); }

}  // namespace

MixedLabelled mix_labelled(const SemiBatch& batch, const MixOptions& options, Generator& generator) {
  NoGrad no_grad;
  double lambda = sample_mix_coefficient(generator, options);
  Tensor order = order_of(batch.labelled.size(0), generator);
  return {mix(batch.labelled, order, lambda), batch.labels, index_select(batch.labels, 0, order), lambda};
}

SemiStep counted_step(const Tensor& loss, const Tensor& unlabelled_logits) {
  NoGrad no_grad;
  Tensor z = unlabelled_logits.detach();
  return {loss, ones({z.size(0)}, z.dtype()), argmax(z, 1), 0};
}

MixupSupervised::MixupSupervised(const ConsistencyCommon& common) : common_(common), labelled_draws_(data::mix(common.seed, 11)) {}

ConsistencyDraws::ConsistencyDraws(const ConsistencyCommon& common)
    : common_(common), labelled_(data::mix(common.seed, 11)), unlabelled_(data::mix(common.seed, 12)), views_(data::mix(common.seed, 13)) {}

MixedLabelled ConsistencyDraws::labelled(const SemiBatch& batch) { return mix_labelled(batch, common_.labelled, labelled_); }

Tensor ConsistencyDraws::second_view(const SemiBatch& batch) {
  if (!batch.weak.defined() || batch.weak.size(0) == 0) throw ValueError("consistency: the batch has no unlabelled examples");
  if (!common_.augment && batch.strong.empty()) throw ValueError("consistency: the batch has no second view of its unlabelled examples");
  NoGrad no_grad;
  return common_.augment ? common_.augment(batch.weak, views_) : batch.strong[0];
}

PiModel::PiModel(const PiModelOptions& options) : options_(options), draws_(options.common) { check_weight("pi_model", options.weight); }

Tensor PiModel::joined(const std::vector<Tensor>& images) { return cat(images, 0); }

SemiStep PiModel::from_logits(const Tensor& rows, const MixedLabelled& l, int64_t unlabelled) const {
  auto parts = split(rows, {l.images.size(0), unlabelled, unlabelled}, 0);
  return counted_step(l.loss(parts[0]) + options_.weight * softmax_mse(parts[2], parts[1]), parts[1]);
}

SemiStep mean_teacher_step(const SemiParts& logits, const Tensor& target, const SemiBatch& batch, double weight) {
  if (logits.strong.empty()) throw ValueError("mean_teacher: the batch has no second view of its unlabelled examples");
  Tensor loss = cross_entropy(logits.labelled, batch.labels);
  for (const Tensor& strong : logits.strong)
    loss = loss + weight / static_cast<double>(logits.strong.size()) * softmax_mse(strong, target.detach());
  return counted_step(loss, target);
}

optim::Schedule consistency_ramp(const char* name, double weight, int64_t ramp) {
  check_weight(name, weight, ramp);
  return optim::sigmoid_rampup(ramp);
}

InterpolationConsistency::InterpolationConsistency(const InterpolationConsistencyOptions& options)
    : options_(options), ramp_(consistency_ramp("interpolation_consistency", options.weight, options.ramp)), draws_(options.common) {}

InterpolationConsistency::Drawn InterpolationConsistency::draw(const SemiBatch& batch) {
  if (!batch.weak.defined() || batch.weak.size(0) == 0) throw ValueError("interpolation_consistency: the batch has no unlabelled examples");
  Drawn d{draws_.labelled(batch),
          order_of(batch.weak.size(0), draws_.unlabelled()),
          {},
          sample_mix_coefficient(draws_.unlabelled(), options_.mix)};
  NoGrad no_grad;
  d.images = cat({d.labelled.images, batch.weak, index_select(batch.weak, 0, d.order), mix(batch.weak, d.order, d.lambda)}, 0);
  return d;
}

SemiStep InterpolationConsistency::from_logits(const Tensor& rows, const Drawn& d, int64_t step) const {
  int64_t n = d.order.size(0);
  auto parts = split(rows, {rows.size(0) - 3 * n, n, n, n}, 0);
  Tensor between = d.lambda * parts[1] + (1 - d.lambda) * parts[2];
  return counted_step(d.labelled.loss(parts[0]) + options_.weight * ramp_(step) * softmax_mse(parts[3], between), parts[1]);
}

Tensor guessed_labels(const Tensor& first, const Tensor& second, double temperature) {
  if (first.rank() != 2 || first.shape() != second.shape())
    throw ShapeError(fmt::format("guessed_labels: logits {} and {}", to_string(first.shape()), to_string(second.shape())));
  NoGrad no_grad;
  return sharpen(0.5 * (softmax(first.detach(), 1) + softmax(second.detach(), 1)), temperature);
}

Tensor mixmatch_loss(const Tensor& logits, const Tensor& targets, int64_t labelled, double weight) {
  check_weight("mixmatch", weight);
  if (logits.rank() != 2 || logits.shape() != targets.shape() || labelled < 1 || labelled >= logits.size(0))
    throw ShapeError(fmt::format("mixmatch: logits {} and targets {} of {} labelled examples", to_string(logits.shape()),
                                 to_string(targets.shape()), labelled));
  int64_t rest = logits.size(0) - labelled;
  Tensor difference = softmax(narrow(logits, 0, labelled, rest), 1) - narrow(targets, 0, labelled, rest);
  return cross_entropy(narrow(logits, 0, 0, labelled), narrow(targets, 0, 0, labelled)) + weight * mean(difference * difference);
}

MixMatch::MixMatch(const MixMatchOptions& options) : options_(options), draws_(options.common) {
  check_weight("mixmatch", options.weight, options.ramp);
  if (!(options.temperature > 0))
    throw ValueError(fmt::format("mixmatch: the temperature must be positive, it is {}", options.temperature));
  ramp_ = optim::linear_rampup(options.ramp);
}

Tensor MixMatch::unlabelled_views(const SemiBatch& batch) {
  Tensor second = draws_.second_view(batch);
  NoGrad no_grad;
  return cat({batch.weak, second}, 0);
}

MixMatch::Mixed MixMatch::mixed(const SemiBatch& batch, const Tensor& views, const Tensor& logits) {
  NoGrad no_grad;
  auto halves = split(logits, {batch.weak.size(0), batch.weak.size(0)}, 0);
  Tensor guess = guessed_labels(halves[0], halves[1], options_.temperature);
  Tensor images = cat({batch.labelled, views}, 0);
  Tensor targets = cat({to(one_hot(batch.labels, logits.size(1)), logits.dtype()), guess, guess}, 0);
  double lambda = sample_mix_coefficient(draws_.unlabelled(), options_.mix);
  Tensor order = order_of(images.size(0), draws_.unlabelled());
  return {mix(images, order, lambda), mix(targets, order, lambda), guess};
}

SemiStep MixMatch::from_logits(const Tensor& logits, const Mixed& m, const SemiBatch& batch, int64_t step) const {
  return counted_step(mixmatch_loss(logits, m.targets, batch.labelled.size(0), options_.weight * ramp_(step)), m.guess);
}

}  // namespace plumb::methods
