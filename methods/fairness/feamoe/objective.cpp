// The loss, in operations: its gradients are −h_k (y − p_k) / n in the experts' logits and (g_k − h_k) / n in the gate's, h the
// responsibilities, plus those of the penalties.
#include "methods/fairness/feamoe/objective.h"

#include <cmath>
#include <string>

#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::feamoe {

void ObjectiveOptions::check() const {
  fairness.check();
  if (!(decay >= 0) || std::isinf(decay)) throw ValueError("feamoe: decay must be finite and not negative, it is " + decimal(decay));
}

Tensor Objective::total() const { return likelihood + fairness + decay; }

Tensor negative_log_likelihood(const MixtureOfLinearExperts& model, const Tensor& x, const Tensor& y, Likelihood likelihood) {
  if (likelihood == Likelihood::bernoulli) return model.negative_log_likelihood(x, to(y, i64));
  Tensor p = sigmoid(squeeze(model.expert_outputs(x), 2));
  if (y.shape() != Shape{x.size(0)}) throw ShapeError("feamoe: " + std::to_string(x.size(0)) + " rows, but labels " + to_string(y.shape()));
  return -mean(logsumexp(log_softmax(model.gate(x), -1) - square(unsqueeze(to(y, p.dtype()), 1) - p) * 0.5, {1}));
}

Objective objective(const MixtureOfLinearExperts& model, const Tensor& x, const Tensor& y, const Tensor& a,
                    const ObjectiveOptions& options) {
  options.check();
  Objective o;
  o.likelihood = negative_log_likelihood(model, x, y, options.likelihood);
  const FairnessPenalty& f = options.fairness;
  if (f.any()) {
    o.fairness = f.value(model.predict(x), f.recourse != 0 ? model.recourse_distance(x, options.detach_gate) : Tensor(), y, a);
  } else {
    group_gap_weights(a);  // a wrong group is an error whether or not it counts
    o.fairness = zeros_like(o.likelihood);
  }
  o.decay = zeros_like(o.likelihood);
  if (options.decay != 0)
    for (const Tensor& p : model.parameters()) o.decay = o.decay + sum(square(p)) * options.decay;
  return o;
}

}  // namespace plumb::methods::feamoe
