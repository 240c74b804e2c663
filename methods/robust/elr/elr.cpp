// Early-Learning Regularization.
#include "methods/robust/elr/elr.h"

#include <fmt/format.h>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "ops/elementary.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/softmax.h"

namespace plumb::methods::elr {
namespace {

void check_batch(const Tensor& logits, const PerSampleEma& targets) {
  if (logits.rank() != 2 || logits.size(1) != targets.table().size(1))
    throw ShapeError(fmt::format("elr: logits {} for targets of {} classes", to_string(logits.shape()), targets.table().size(1)));
}

// t of the batch after its update with q = p / Σ p.
Tensor moved_targets(const Tensor& probabilities, const Tensor& index, PerSampleEma& targets) {
  NoGrad no_grad;
  Tensor p = probabilities.detach();
  return targets.update(index, p / sum(p, {1}, true));
}

}  // namespace

Tensor clamped_softmax(const Tensor& logits, double clamp) {
  if (!(clamp >= 0 && clamp < 0.5)) throw ValueError(fmt::format("elr: the clamp must lie in [0, 0.5), it is {}", clamp));
  return plumb::clamp(softmax(logits, -1), clamp, 1 - clamp);
}

Tensor elr_regularizer(const Tensor& logits, const Tensor& targets, double clamp) {
  if (logits.rank() != 2 || targets.shape() != logits.shape())
    throw ShapeError(
        fmt::format("elr: logits {} and targets {} must both be [B, C]", to_string(logits.shape()), to_string(targets.shape())));
  Tensor agreement = sum(clamped_softmax(logits, clamp) * targets.detach(), {1});
  return mean(log(1 - agreement));
}

Tensor elr_loss(const Tensor& logits, const Tensor& labels, const Tensor& index, PerSampleEma& targets, const ElrOptions& o) {
  check_batch(logits, targets);
  Tensor loss = cross_entropy(logits, labels);
  Tensor t = moved_targets(clamped_softmax(logits.detach(), o.clamp), index, targets);
  return o.lambda == 0 ? loss : loss + o.lambda * elr_regularizer(logits, t, o.clamp);
}

Tensor soft_label_loss(const Tensor& logits, const Tensor& labels, const Tensor& index, PerSampleEma& targets, const ElrOptions& o) {
  check_batch(logits, targets);
  Tensor loss = cross_entropy(logits, labels);
  Tensor t = moved_targets(clamped_softmax(logits.detach(), o.clamp), index, targets);
  return o.lambda == 0 ? loss : loss + o.lambda * cross_entropy(logits, t);
}

Tensor mislabelled(const PerSampleEma& targets, const Tensor& labels) {
  if (labels.shape() != Shape{targets.table().size(0)})
    throw ShapeError(fmt::format("elr: labels {} for targets of {} examples", to_string(labels.shape()), targets.table().size(0)));
  return argmax(targets.table(), 1) != labels;
}

}  // namespace plumb::methods::elr
