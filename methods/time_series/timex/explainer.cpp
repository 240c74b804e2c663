// TimeX: one pass, its loss, its training.
#include "methods/time_series/timex/explainer.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "models/optim/adam.h"
#include "models/require.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::timex {
namespace {

Tensor rows_of(const Tensor& x, const Tensor& index) { return index_select(x, 0, index); }

// `count` series, of each class in turn.
Tensor stratified(const Tensor& labels, int64_t count) {
  std::vector<int64_t> label = to_vector<int64_t>(labels), order = to_vector<int64_t>(randperm(labels.numel())), chosen;
  if (count > labels.numel())
    throw ValueError("timex: " + std::to_string(count) + " prototypes are more than the " + std::to_string(labels.numel()) + " series");
  int64_t classes = *std::ranges::max_element(label) + 1;
  std::vector<std::vector<int64_t>> of(static_cast<size_t>(classes));
  for (int64_t i : order) of[static_cast<size_t>(label[static_cast<size_t>(i)])].push_back(i);
  for (size_t c = 0; static_cast<int64_t>(chosen.size()) < count; c = (c + 1) % of.size()) {
    if (of[c].empty()) continue;
    chosen.push_back(of[c].back());
    of[c].pop_back();
  }
  return from_vector(chosen);
}

void check_series(const Tensor& x, const Tensor& times, const Tensor& labels) {
  if (x.rank() != 3 || times.rank() != 2 || labels.rank() != 1 || x.size(0) < 1 || x.size(0) != labels.size(0) ||
      times.size(0) != x.size(0) || times.size(1) != x.size(1))
    throw ShapeError("timex: series " + to_string(x.shape()) + ", times " + to_string(times.shape()) + " and labels " +
                     to_string(labels.shape()) + " must be [N, T, d], [N, T] and [N]");
  std::vector<double> v = to_vector(x);
  for (size_t i = 0; i < v.size(); ++i)
    if (!std::isfinite(v[i]))
      throw ValueError("timex: series " + std::to_string(i / static_cast<size_t>(x.numel() / x.size(0))) +
                       " has a value that is missing or not finite");
  if (max(labels).item<int64_t>() == min(labels).item<int64_t>())
    throw ValueError("timex: all " + std::to_string(labels.numel()) + " labels are of one class");
}

SeriesClassifier frozen(SeriesClassifier classifier) {
  classifier.eval();
  classifier.requires_grad_(false);
  return classifier;
}

Tensor embeddings(const SeriesClassifier& classifier, const Tensor& x, const Tensor& times) {
  NoGrad off;
  return classifier.encoder(x, times).detach();
}

SeriesEncoder surrogate_of(const SeriesClassifier& frozen_classifier, bool copy) {
  SeriesEncoder made = copy ? frozen_classifier.encoder : SeriesEncoder(frozen_classifier.encoder.options());
  made.requires_grad_(true);
  made.train();
  return made;
}

}  // namespace

void TimexOptions::check() const {
  require_positive("timex", {{"decoder layers", decoder_layers}, {"decoder inner width", decoder_inner}, {"prototypes", prototypes}});
  require(tau_mask > 0 && tau_prototype > 0, "timex: temperatures must be positive");
  require(prior > 0 && prior < 1, "timex: the prior must lie in (0, 1), it is " + decimal(prior));
  require(mask_weight >= 0 && connect_weight >= 0 && explain_weight >= 0 && consistent_weight >= 0 && label_weight >= 0,
          "timex: weights of losses must not be negative");
}

Background background_of(const Tensor& x) {
  if (x.rank() != 3 || x.size(0) < 1) throw ShapeError("timex: takes series [N, T, d], got " + to_string(x.shape()));
  return {mean(x, {0}), std_dev(x, {0}, 0)};
}

PrototypeMatcher::PrototypeMatcher(Tensor start, double tau) : rows(this, "rows", std::move(start)), tau_(tau) {}

Tensor PrototypeMatcher::operator()(const Tensor& z, Generator& generator) const {
  Tensor cosine = matmul(normalize(z.detach()), mT(normalize(rows)));
  return matmul(gumbel_softmax_st(log_softmax(cosine, -1), tau_, generator), rows);
}

Tensor PrototypeMatcher::nearest(const Tensor& z) const { return argmax(matmul(normalize(z), mT(normalize(rows))), -1); }

TimeX::TimeX(const SeriesClassifier& classifier, const Tensor& x, const Tensor& times, const Tensor& labels, const TimexOptions& o)
    : options_((o.check(), check_series(x, times, labels), o)),
      frozen_(frozen(classifier)),
      background_(background_of(x)),
      generator_(this, "generator", classifier.encoder.options(), o.decoder_layers, o.decoder_inner),
      surrogate_(surrogate_of(frozen_, o.copy_weights)),
      head_(classifier.head.config()),
      prototypes_(clone([&] {
                    Tensor chosen = stratified(labels, o.prototypes);
                    return embeddings(frozen_, rows_of(x, chosen), rows_of(times, chosen));
                  }()),
                  o.tau_prototype) {
  register_module("surrogate", surrogate_);
  register_module("head", head_);
  register_module("prototypes", prototypes_);
}

bool TimeX::replaces() const {
  if (options_.replace == TimexOptions::Replace::automatic) return frozen_.encoder.options().channels > 1;
  return options_.replace == TimexOptions::Replace::always;
}

// A step is seen if any of its channels is: a_t = min(1, Σ_c M_tc), with the gradient of the sum where that is at most 1.
Tensor TimeX::surrogate(const Tensor& x, const Tensor& times, const Tensor& mask, Generator& generator) const {
  Tensor seen = x, gate = clamp_max(sum(mask, {2}), 1);
  if (replaces()) {
    Tensor noise = randn(x.shape(), {.dtype = x.dtype(), .generator = &generator});
    seen = mask * x + (1 - mask) * (background_.mean + background_.std * noise);
  }
  return surrogate_(seen, times, gate);
}

Explained TimeX::operator()(const Tensor& x, const Tensor& times, Generator& generator) const {
  Explained e;
  {
    NoGrad off;
    e.z = frozen_.encoder(x, times);
    e.y = frozen_.head(e.z);
  }
  e.p = generator_(x, times);
  e.mask = sample_mask(e.p, options_.tau_mask, generator, options_.straight_through);
  e.z_e = surrogate(x, times, e.mask, generator);
  e.y_e = head_(e.z_e);
  e.matched = prototypes_(e.z_e, generator);
  return e;
}

TimexLoss TimeX::loss(const Explained& e) const {
  Tensor mask = gsat_loss(e.p, options_.prior), connect = connect_loss(e.p), mbc = mbc_loss(e.z, e.z_e), matched = mbc_loss(e.z, e.matched);
  Tensor label = label_consistency_loss(e.y, e.y_e, options_.label_form);
  Tensor consistent = matched + label * options_.label_weight;
  if (options_.mbc) consistent = consistent + mbc;
  TimexLoss l{(mask * options_.mask_weight + connect * options_.connect_weight) * options_.explain_weight +
              consistent * options_.consistent_weight};
  l.mask = mask.item(), l.connect = connect.item(), l.mbc = mbc.item(), l.label = label.item(), l.prototype = matched.item();
  return l;
}

Tensor TimeX::saliency(const Tensor& x, const Tensor& times) const {
  NoGrad off;
  std::vector<Tensor> parts;
  for (int64_t i = 0; i < x.size(0); i += 256) {
    int64_t count = std::min<int64_t>(256, x.size(0) - i);
    parts.push_back(generator_(narrow(x, 0, i, count), narrow(times, 0, i, count)));
  }
  return cat(parts);
}

namespace {

void check_training(int64_t epochs, int64_t batch, double lr) {
  if (epochs < 1 || batch < 2 || !(lr > 0))
    throw ValueError("timex: training needs at least 1 epoch, batches of at least 2 and a positive rate, got " + std::to_string(epochs) +
                     ", " + std::to_string(batch) + " and " + decimal(lr));
}

// Batches of one epoch in a new order; one series alone, which has no pairs, is left out.
template <typename Step>
void epoch_of(int64_t count, int64_t batch, Step&& step) {
  Tensor order = randperm(count);
  for (int64_t from = 0; from < count; from += batch) {
    int64_t size = std::min(batch, count - from);
    if (size >= 2) step(narrow(order, 0, from, size));
  }
}

double validation_consistency(TimeX& model, const Tensor& x, const Tensor& times) {
  NoGrad off;
  model.eval();
  double total = 0;
  int64_t parts = 0;
  for (int64_t i = 0; i < x.size(0); i += 256) {
    int64_t count = std::min<int64_t>(256, x.size(0) - i);
    TimexLoss l = model.loss(model(narrow(x, 0, i, count), narrow(times, 0, i, count), default_generator()));
    total += l.mbc + l.label;
    ++parts;
  }
  model.train();
  return total / static_cast<double>(parts);
}

}  // namespace

double train_timex(TimeX& model, const Tensor& x, const Tensor& times, const Tensor& validation, const Tensor& validation_times,
                   const TimexTraining& t) {
  check_training(t.epochs, t.batch, t.lr);
  optim::AdamW adam(model.parameters(), {.lr = t.lr, .weight_decay = t.weight_decay});
  double best = INFINITY, scale = 1;
  int64_t since = 0;
  std::vector<Tensor> kept;
  model.train();
  for (int64_t epoch = 0; epoch < t.epochs; ++epoch) {
    epoch_of(x.size(0), t.batch, [&](const Tensor& index) {
      TimexLoss l = model.loss(model(rows_of(x, index), rows_of(times, index), default_generator()));
      adam.zero_grad();
      l.total.backward();
      adam.step();
    });
    double now = validation_consistency(model, validation, validation_times);
    if (t.progress) t.progress(epoch, now);
    if (now < best) {
      best = now;
      since = 0;
      kept.clear();
      for (const Tensor& p : model.parameters()) kept.push_back(clone(p.detach()));
    } else if (++since > t.patience && t.patience > 0 && epoch >= t.decay_from) {
      scale *= 0.1;
      since = 0;
      adam.set_lr_scale(scale);
    }
  }
  NoGrad off;
  std::vector<Tensor> parameters = model.parameters();
  for (size_t i = 0; i < kept.size(); ++i) copy_data(kept[i], parameters[i]);
  model.eval();
  return best;
}

void train_classifier(SeriesClassifier& model, const Tensor& x, const Tensor& times, const Tensor& labels, const ClassifierTraining& t) {
  check_training(t.epochs, t.batch, t.lr);
  check_series(x, times, labels);
  optim::AdamW adam(model.parameters(), {.lr = t.lr, .weight_decay = t.weight_decay});
  model.train();
  for (int64_t epoch = 0; epoch < t.epochs; ++epoch) {
    epoch_of(x.size(0), t.batch, [&](const Tensor& index) {
      adam.zero_grad();
      poly1_loss(model(rows_of(x, index), rows_of(times, index)), rows_of(labels, index)).backward();
      adam.step();
    });
    if (t.progress) t.progress(epoch);
  }
  model.eval();
}

}  // namespace plumb::methods::timex
