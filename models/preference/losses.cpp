// The forms of preference losses, each once for a pair and once for the pair turned round.
#include "models/preference/losses.h"

#include <fmt/format.h>

#include <cmath>

#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::preference {
namespace {

void check_beta(double beta) {
  if (!(beta > 0) || !std::isfinite(beta)) throw ValueError(fmt::format("preference: beta must be positive, it is {}", beta));
}

void check_vectors(const Tensor& a, const Tensor& b, const char* what) {
  if (a.rank() != 1 || a.size(0) < 1 || b.shape() != a.shape())
    throw ShapeError(fmt::format("preference: takes {} [B] of one B ≥ 1, got {} and {}", what, to_string(a.shape()), to_string(b.shape())));
}

void check_confidence(const Tensor& confidence, const Shape& pairs) {
  if (confidence.shape() != pairs)
    throw ShapeError(fmt::format("preference: {} confidences go with {} pairs", to_string(confidence.shape()), to_string(pairs)));
  for (double c : to_vector(confidence))
    if (!(c >= 0 && c <= 1)) throw ValueError(fmt::format("preference: a confidence must lie in [0, 1], it is {}", c));
}

// C right + (1 − C) wrong, of which the second part is nothing for C = 1.
Tensor weighed(const Tensor& right, const Tensor& wrong, const Tensor& confidence) {
  Tensor c = to(confidence.detach(), right.dtype());
  return mean(c * right + (1.0 - c) * wrong);
}

Tensor per_token(const Tensor& log_prob, const Tensor& length) {
  if (!length.defined()) throw ValueError("preference: a length-normalised loss needs the lengths of the answers");
  check_vectors(log_prob, length, "log-probabilities and lengths");
  for (double n : to_vector(length))
    if (!(n >= 1)) throw ValueError(fmt::format("preference: an answer must have at least one token, it has {}", n));
  return log_prob / to(length.detach(), log_prob.dtype());
}

PairLogProbs normalised(const PairLogProbs& x, const PairLogProbs& lengths) {
  return {per_token(x.chosen, lengths.chosen_length), per_token(x.rejected, lengths.rejected_length)};
}

Tensor pair_loss(const Tensor& h, const LossOptions& o) {
  if (o.objective == Objective::squared) return square(h - 0.5 / o.beta);
  Tensor z = h * o.beta - o.margin;
  return o.objective == Objective::hinge ? relu(-z) : -logsigmoid(z);
}

}  // namespace

void LossOptions::check() const {
  check_beta(beta);
  if (!(margin >= 0) || !std::isfinite(margin))
    throw ValueError(fmt::format("preference: the margin must not be negative, it is {}", margin));
  if (objective == Objective::squared && margin != 0)
    throw ValueError(fmt::format("preference: the squared form has its margin in beta; the margin must be 0, it is {}", margin));
  if (objective == Objective::hinge && margin == 0) throw ValueError("preference: the hinge needs a margin above 0");
}

LossOptions dpo(double beta) { return {.beta = beta}; }
LossOptions length_normalised_dpo(double beta) { return {.beta = beta, .per_token = true}; }
LossOptions ipo(double beta) { return {.objective = Objective::squared, .beta = beta}; }
LossOptions simpo(double beta, double margin) { return {.beta = beta, .margin = margin, .per_token = true, .reference_free = true}; }
LossOptions slic(double beta, double margin) { return {.objective = Objective::hinge, .beta = beta, .margin = margin}; }

Tensor log_ratio_difference(const PairLogProbs& policy, const PairLogProbs& reference) {
  check_vectors(policy.chosen, policy.rejected, "log-probabilities");
  if (!reference.chosen.defined() && !reference.rejected.defined()) return policy.chosen - policy.rejected;
  check_vectors(policy.chosen, reference.chosen, "log-probabilities");
  check_vectors(policy.chosen, reference.rejected, "log-probabilities");
  return (policy.chosen - reference.chosen.detach()) - (policy.rejected - reference.rejected.detach());
}

Tensor dpo_margin(const PairLogProbs& policy, const PairLogProbs& reference, double beta) {
  check_beta(beta);
  return log_ratio_difference(policy, reference) * beta;
}

Tensor soft_dpo_loss(const Tensor& margin, double confidence) {
  return soft_dpo_loss(margin, full(margin.shape(), confidence, f64, margin.device()));
}

Tensor soft_dpo_loss(const Tensor& margin, const Tensor& confidence) {
  check_vectors(margin, margin, "margins");
  check_confidence(confidence, margin.shape());
  return weighed(-logsigmoid(margin), -logsigmoid(-margin), confidence);
}

Tensor preference_loss(const PairLogProbs& policy, const PairLogProbs& reference, const LossOptions& o, const Tensor& confidence) {
  o.check();
  PairLogProbs with = o.reference_free ? PairLogProbs{} : reference;
  if (!o.reference_free && !(with.chosen.defined() && with.rejected.defined()))
    throw ValueError("preference: this loss needs the reference's log-probabilities");
  PairLogProbs of = policy;
  if (o.per_token) {
    of = normalised(policy, policy);
    if (!o.reference_free) with = normalised(reference, policy);
  }
  Tensor h = log_ratio_difference(of, with);
  Tensor right = pair_loss(h, o);
  if (!confidence.defined()) return mean(right);
  check_confidence(confidence, h.shape());
  return weighed(right, pair_loss(-h, o), confidence);
}

}  // namespace plumb::preference
