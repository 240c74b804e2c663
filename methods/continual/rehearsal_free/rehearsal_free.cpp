// Losses of independent outputs, with and without an earlier network's, and the Fisher diagonal of theirs.
#include "methods/continual/rehearsal_free/rehearsal_free.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::rehearsal_free {
namespace {

void require_range(const char* op, const Tensor& logits, const Tensor& labels, int64_t least, int64_t begin, int64_t end) {
  if (logits.rank() != 2 || labels.shape() != Shape{logits.size(0)})
    throw ShapeError(fmt::format("{}: logits {} with labels {}", op, to_string(logits.shape()), to_string(labels.shape())));
  if (begin < 0 || begin >= end || end > logits.size(1) || least < begin || least >= end)
    throw ValueError(fmt::format("{}: no classes in [{}, {}) of {} outputs", op, least, end, logits.size(1)));
  for (int64_t label : to_vector<int64_t>(labels))
    if (label < least || label >= end) throw IndexError(fmt::format("{}: label {} is outside [{}, {})", op, label, least, end));
}

// 1 at the label, 0 elsewhere, for the outputs [begin, end).
Tensor indicator(const Tensor& labels, int64_t begin, int64_t end, DType dtype) { return to(one_hot(labels - begin, end - begin), dtype); }

}  // namespace

Tensor multilabel_loss(const Tensor& logits, const Tensor& labels, int64_t begin, int64_t end, double scale) {
  require_range("multilabel_loss", logits, labels, begin, begin, end);
  Tensor z = narrow(logits, 1, begin, end - begin);
  return binary_cross_entropy_with_logits(z, indicator(labels, begin, end, z.dtype())) * scale;
}

Tensor multilabel_lwf_loss(const Tensor& logits, const Tensor& teacher, const Tensor& labels, int64_t s, int64_t end, double scale) {
  if (teacher.defined() && s == 0) throw ValueError("multilabel_lwf_loss: a teacher, but no old classes: s = 0");
  if (!teacher.defined() && s > 0) throw ValueError(fmt::format("multilabel_lwf_loss: {} old classes, but no teacher", s));
  if (s == 0) return multilabel_loss(logits, labels, 0, end, scale);
  require_range("multilabel_lwf_loss", logits, labels, s, 0, end);
  if (teacher.rank() != 2 || teacher.size(0) != logits.size(0) || teacher.size(1) > logits.size(1) || teacher.size(1) < s)
    throw ShapeError(fmt::format("multilabel_lwf_loss: a teacher's {} for a student's {} with {} old classes", to_string(teacher.shape()),
                                 to_string(logits.shape()), s));
  Tensor z = narrow(logits, 1, 0, end), old = sigmoid(narrow(teacher.detach(), 1, 0, s));
  return binary_cross_entropy_with_logits(z, cat({old, indicator(labels, s, end, z.dtype())}, 1)) * scale;
}

FisherDiagonal multilabel_fisher(const TensorFunction& model, std::vector<nn::NamedTensor> parameters, const ContinualExamples& examples,
                                 ClassRange range, const MultilabelFisherOptions& o) {
  if (o.labels == FisherLabels::expected) throw ValueError("multilabel_fisher: labels are given, pseudo or sampled, not expected");
  if (o.batch < 1) throw ValueError(fmt::format("multilabel_fisher: a batch of {}", o.batch));
  int64_t n = o.examples > 0 ? std::min(o.examples, examples.size()) : examples.size();
  if (n == 0) throw ValueError("multilabel_fisher: there are no examples");
  FisherAccumulator fisher(std::move(parameters));
  GradMode on(true);
  int64_t step = o.unit == FisherUnit::sample ? 1 : o.batch;
  for (int64_t first = 0; first < n; first += step) {
    int64_t last = std::min(first + step, n);
    Tensor z = narrow(model({slice(examples.x, 0, first, last)}).at(0), 1, range.begin, range.size()), target;
    if (o.labels == FisherLabels::sampled) {
      target = to(bernoulli(sigmoid(z.detach()), o.generator), z.dtype());
    } else {
      Tensor label = o.labels == FisherLabels::given ? slice(examples.labels, 0, first, last) - range.begin : argmax(z.detach(), 1);
      target = indicator(label, 0, range.size(), z.dtype());
    }
    // √B times the loss has B times the squared gradient.
    fisher.add(binary_cross_entropy_with_logits(z, target) * (o.scale * std::sqrt(static_cast<double>(last - first))));
  }
  FisherDiagonal result = fisher.diagonal();
  NoGrad off;
  if (o.largest > 0)
    for (Tensor& w : result.omega) w = clamp_max(w, o.largest);
  return result;
}

void check(const RehearsalFreeOptions& o) {
  if (!(o.weight >= 0) || !(o.l2_weight >= 0))
    throw ValueError(fmt::format("rehearsal_free: the weights {} and {} must not be negative", o.weight, o.l2_weight));
  if (!(o.scale > 0) || !(o.temperature > 0))
    throw ValueError(fmt::format("rehearsal_free: scale {} and temperature {} must be positive", o.scale, o.temperature));
}

Tensor classification_loss(const RehearsalFreeOptions& o, const Tensor& logits, const Tensor& teacher, const Tensor& labels,
                           ClassRange own) {
  int64_t s = own.begin, e = own.end;
  switch (o.classification) {
    case Classification::predkd:
      return multilabel_lwf_loss(logits, teacher, labels, s, e, o.scale);
    case Classification::local_bce:
      return multilabel_loss(logits, labels, s, e, o.scale);
    case Classification::global_bce:
      return multilabel_loss(logits, labels, 0, e, o.scale);
    case Classification::softmax:
      return local_cross_entropy(logits, labels, 0, e);
    case Classification::local_softmax:
      return local_cross_entropy(logits, labels, s, e);
    case Classification::softmax_distilled:
      break;
  }
  Tensor loss = local_cross_entropy(logits, labels, 0, e);
  return teacher.defined() ? loss + knowledge_distillation(logits, teacher, 0, s, o.temperature) : loss;
}

}  // namespace plumb::methods::rehearsal_free
