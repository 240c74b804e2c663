// SimMatch: targets that similarities and labels make of each other, and the losses of a step.
#include "methods/semi_supervised/simmatchv2/simmatch.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "methods/common/pseudo_labels.h"
#include "ops/create.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::simmatchv2 {

void SimMatchOptions::check() const {
  if (!(threshold >= 0 && threshold <= 1) || !(smooth >= 0 && smooth <= 1))
    throw ValueError(fmt::format("simmatch: threshold {} and smooth {} must lie in [0, 1]", threshold, smooth));
  if (!(temperature > 0)) throw ValueError(fmt::format("simmatch: the temperature must be positive, it is {}", temperature));
  if (!(unlabelled >= 0 && instance >= 0))
    throw ValueError(fmt::format("simmatch: weights {} and {} must not be negative", unlabelled, instance));
  teacher_momentum(teacher, 0);
}

MatchedTargets match_targets(const Tensor& q, const Tensor& p, const Tensor& one_hot, double smooth) {
  if (q.rank() != 2 || p.rank() != 2 || q.size(0) != p.size(0) || one_hot.shape() != Shape{q.size(1), p.size(1)})
    throw ShapeError(fmt::format("simmatch: similarities {}, probabilities {}, labels {}", to_string(q.shape()), to_string(p.shape()),
                                 to_string(one_hot.shape())));
  NoGrad no_grad;
  Tensor labels = to(one_hot, p.dtype());
  Tensor unfolded = q * matmul(p, contiguous(mT(labels)));
  return {smooth * p + (1 - smooth) * matmul(q, labels), unfolded / clamp_min(sum(unfolded, {1}, true), 1e-30)};
}

SimMatchObjective::SimMatchObjective(const SimMatchOptions& options, const Tensor& labels, int64_t classes, const Tensor& labelled_z)
    : options_(options), one_hot_(to(one_hot(labels, classes), f32)), bank_([&] {
        Generator generator(options.seed);
        return IndexedBank(labels.numel(), labelled_z.size(-1), generator);
      }()) {
  options.check();
  if (options.align) aligner_.push_back(DistributionAligner::average_after(classes, options.align_decay));
  bank_.put(arange(labels.numel()), labelled_z);
}

SimMatchTerms SimMatchObjective::operator()(const TwoViewOutputs& out, const Tensor& labels, const Tensor& labelled_index) {
  const SimMatchOptions& o = options_;
  SimMatchTerms t;
  Tensor p = weak_probabilities(out.teacher_logits, aligner_), bank = clone(bank_.table());  // the graph holds what is overwritten below
  MatchedTargets targets = match_targets(edge_distribution(out.teacher_z.detach(), bank, o.temperature), p, one_hot_, o.smooth);
  t.smoothed = targets.probabilities;
  t.mask = confidence_mask(t.smoothed, o.threshold);
  t.supervised = cross_entropy(out.labelled, labels);
  t.unlabelled = t.instance = zeros({}, out.labelled.dtype());
  double share = 1 / static_cast<double>(std::max<size_t>(1, out.strong.size()));
  for (size_t s = 0; s < out.strong.size(); ++s) {
    t.unlabelled = t.unlabelled + share * weighted_cross_entropy(out.strong[s], t.smoothed, t.mask);
    if (o.instance > 0) t.instance = t.instance + share * edge_edge_loss(out.strong_z[s], bank, targets.instances, o.temperature);
  }
  t.total = t.supervised + o.unlabelled * t.unlabelled + o.instance * t.instance;
  bank_.put(labelled_index, out.teacher_labelled_z.detach());
  return t;
}

SemiStep semi_step(const SimMatchTerms& terms) {
  NoGrad no_grad;
  return {terms.total, terms.mask, argmax(terms.smoothed, 1), mean(to(terms.mask, f64)).item()};
}

}  // namespace plumb::methods::simmatchv2
