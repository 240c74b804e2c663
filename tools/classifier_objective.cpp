// Losses by name, mixed, with memory. What is done to logits, which are few numbers, is done on the CPU, where the memories are.
#include "tools/classifier_objective.h"

#include <cmath>
#include <set>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "methods/common/long_tail_losses.h"
#include "methods/common/robust_losses.h"
#include "methods/robust/elr/elr.h"
#include "models/nn/batch_statistics.h"
#include "models/nn/placement.h"
#include "ops/create.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::tools {
namespace {

using namespace methods;

constexpr double kElrDecay = 0.7;

std::vector<int64_t> class_counts(const data::Dataset& train, int64_t classes) {
  std::vector<int64_t> counts(static_cast<size_t>(classes));
  for (int64_t label : train.labels()) ++counts[static_cast<size_t>(label)];
  return counts;
}

// Another network of the run's kind, for AdaMixUp to choose the region with.
FeatureNetwork trunk_of(const ClassifierRun& run) {
  ClassifierRun plain = run;
  plain.recipe = {};
  auto network = std::make_shared<ImageClassifier>(plain);
  return {std::shared_ptr<nn::Module>(network, &network->module()), [network](const Tensor& x) { return network->features(x); }};
}

int64_t feature_count(const ClassifierRun& run, ImageClassifier& classifier) {
  NoGrad off;
  classifier.module().eval();
  Shape one(run.image);
  one.insert(0, 1);
  int64_t features = classifier.features(zeros(one)).size(1);
  classifier.module().train();
  return features;
}

Tensor on_host(const Tensor& x) { return to(x, Device{}); }

}  // namespace

ClassifierObjective::ClassifierObjective(const ClassifierRun& run, ImageClassifier& classifier, const data::Dataset& train)
    : run_(run), classifier_(classifier), network_(classifier.staged()), examples_(train.size()) {
  const Recipe& r = run.recipe;
  int64_t classes = run.classes(), rows = train.index_limit();
  if (r.mix_has_own_loss()) {
    MixObjectiveOptions options{.classes = classes, .alpha = r.mix_alpha, .label_smoothing = run.label_smoothing};
    if (r.mix == "adamixup") options.features = feature_count(run, classifier), options.trunk = trunk_of(run);
    mix_ = mix_objective(r.mix, options);
    if (mix_->module()) run.training.prepare(*mix_->module());
  } else if (r.mix != "none") {
    policy_ = plain_mix_policy(r.mix, r.mix_alpha);
  }
  if (r.loss == "balanced-softmax") prior_ = log_prior(class_counts(train, classes), r.loss_parameter);
  if (r.loss == "elr") {
    elr_.emplace(rows, classes, kElrDecay);
    memory_.register_buffer("loss", memory_.loss, elr_->table());
  }
  if (r.loss == "aldr-kl") {
    aldr_.emplace(rows, ldr::AldrOptions{.lambda0 = r.loss_parameter});
    memory_.register_buffer("loss", memory_.loss, aldr_->lambdas());
  }
  if (r.distil == "ps-kd") {
    progressive_.emplace(rows, classes, epoch_of(run.training.steps - 1), r.distil_weight);
    memory_.register_buffer("distil", memory_.distil, progressive_->table());
  }
  register_module("memory", memory_);
}

std::vector<std::pair<std::string, nn::Module*>> ClassifierObjective::heap_children() const {
  std::vector<std::pair<std::string, nn::Module*>> children{{"", &classifier_.module()}};
  if (mix_ && mix_->module()) children.push_back({"mix", mix_->module()});
  return children;
}

// The epoch, from 1 on, that the step's first image belongs to; the last step is in the last one.
int64_t ClassifierObjective::epoch_of(int64_t step) const { return step * run_.training.batch / examples_ + 1; }

Tensor ClassifierObjective::loss(const Tensor& images, const Tensor& labels, const Tensor& index, int64_t step) {
  Device device = nn::device_of(classifier_.module());
  Tensor x = plumb::to(images, device);
  if (mix_) return mix_->loss(network_, x, plumb::to(labels, device), default_generator());
  Pairs pairs;
  Tensor alone, logits;
  if (policy_) {
    if (progressive_) alone = unmixed_logits(x);
    MixedLogits mixed = mixed_logits(*policy_, network_, x, plumb::to(arange(labels.size(0)), device), default_generator());
    pairs = {on_host(mixed.labels.second), to_vector(mixed.labels.lambda)[0]};
    logits = mixed.logits;
  } else {
    logits = classifier_(x);
  }
  Tensor z = on_host(plumb::to(logits, logits.dtype() == f64 ? f64 : f32));
  if (!progressive_) return plumb::to(mixed_label_loss(z, labels, index, pairs), device);
  progressive_->begin_epoch(epoch_of(step));
  Tensor total = progressive_loss(z, labels, index, pairs);
  if (std::isfinite(total.item())) {  // else the run ends here, and says why
    NoGrad off;
    progressive_->update(index, softmax(policy_ ? alone : z.detach(), 1));
  }
  return plumb::to(total, device);
}

// What the network in training says about the images as they are, without a trace.
Tensor ClassifierObjective::unmixed_logits(const Tensor& images) const {
  NoGrad off;
  nn::BatchStatistics of_the_batch;
  Tensor logits = classifier_(images);
  return on_host(plumb::to(logits, logits.dtype() == f64 ? f64 : f32));
}

Tensor ClassifierObjective::label_loss(const Tensor& z, const Tensor& y, const Tensor& index) {
  const Recipe& r = run_.recipe;
  if (r.loss == "cross-entropy") return cross_entropy(z, y, {.label_smoothing = run_.label_smoothing});
  if (r.loss == "focal") return focal_loss(z, y, {.gamma = r.loss_parameter});
  if (r.loss == "balanced-softmax") return prior_adjusted_cross_entropy(z, y, prior_);
  if (r.loss == "ldr-kl") return ldr::ldr_kl_loss(z, y, {.lambda = r.loss_parameter});
  if (r.loss == "aldr-kl") return (*aldr_)(z, y, index);
  if (r.loss == "elr") return elr_loss(z, y, index);
  return find_robust_loss(r.loss).loss(z, y, r.loss_parameter);
}

Tensor ClassifierObjective::mixed_label_loss(const Tensor& z, const Tensor& y, const Tensor& index, const Pairs& pairs) {
  if (!pairs.second.defined()) return label_loss(z, y, index);
  Tensor first = label_loss(z, y, index), second = label_loss(z, index_select(y, 0, pairs.second), index);
  return pairs.share * first + (1 - pairs.share) * second;
}

Tensor ClassifierObjective::progressive_loss(const Tensor& z, const Tensor& y, const Tensor& index, const Pairs& pairs) {
  double alpha = progressive_->alpha();
  Tensor labels = mixed_label_loss(z, y, index, pairs);
  if (alpha == 0 || !progressive_->any_seen(index)) return labels;
  Tensor before = progressive_->predictions(index, y);
  if (pairs.second.defined()) before = pairs.share * before + (1 - pairs.share) * index_select(before, 0, pairs.second);
  return (1 - alpha) * labels + alpha * cross_entropy(z, plumb::to(before, z.dtype()), {.label_smoothing = run_.label_smoothing});
}

// Where one epoch's end and the next one's beginning share a batch, an image may be in it twice: its target then moves twice.
Tensor ClassifierObjective::elr_loss(const Tensor& z, const Tensor& y, const Tensor& index) {
  elr::ElrOptions options{.lambda = run_.recipe.loss_parameter};
  Tensor p;
  {
    NoGrad off;
    p = elr::clamped_softmax(z.detach(), options.clamp);
    p = p / sum(p, {1}, true);
  }
  auto at = to_vector<int64_t>(index);
  std::vector<bool> done(at.size());
  for (size_t left = at.size(); left > 0;) {
    std::set<int64_t> seen;
    std::vector<int64_t> places, rows;
    for (size_t b = 0; b < at.size(); ++b)
      if (!done[b] && seen.insert(at[b]).second) done[b] = true, places.push_back(static_cast<int64_t>(b)), rows.push_back(at[b]);
    elr_->update(from_vector(rows), index_select(p, 0, from_vector(places)));
    left -= places.size();
  }
  return cross_entropy(z, y) + options.lambda * elr::elr_regularizer(z, plumb::to(elr_->rows(index), z.dtype()), options.clamp);
}

}  // namespace plumb::tools
