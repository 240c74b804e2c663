// Losses, ways to combine them, and full-batch training.
#include "methods/fairness/rai_inconsistency/objectives.h"

#include <algorithm>
#include <cmath>

#include "engine/core/kept_generator.h"
#include "methods/common/group_fairness.h"
#include "methods/fairness/rai_inconsistency/suite.h"
#include "models/optim/adam.h"
#include "models/optim/objectives.h"
#include "models/optim/parameters.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"

namespace plumb::methods::rai_inconsistency {
namespace {

Tensor cross_entropy_of(const Tensor& logits, const Tensor& y) { return binary_cross_entropy_with_logits(logits, y); }

// What a step needs of the options: weights with their default filled in.
std::vector<double> weights_of(const TrainOptions& o, size_t objectives) {
  return o.weights.empty() ? std::vector<double>(objectives, 1) : o.weights;
}

// The objectives that count, and their losses.
struct Step {
  std::vector<size_t> active;
  std::vector<Tensor> losses;
  std::vector<double> weights;
};

Step losses_of(const Forward& forward, const std::vector<Objective>& objectives, const std::vector<double>& weights) {
  Step step;
  for (size_t i = 0; i < objectives.size(); ++i) {
    if (weights[i] == 0) continue;
    step.active.push_back(i);
    step.losses.push_back(objectives[i].loss(forward));
    step.weights.push_back(weights[i]);
  }
  return step;
}

Tensor weighted(const Step& step) {
  Tensor total;
  for (size_t i = 0; i < step.losses.size(); ++i) {
    Tensor part = step.weights[i] == 1 ? step.losses[i] : step.losses[i] * step.weights[i];
    total = total.defined() ? total + part : part;
  }
  return total;
}

std::vector<double> chosen(const std::vector<double>& values, const std::vector<size_t>& places) {
  std::vector<double> out;
  for (size_t i : places) out.push_back(i < values.size() ? values[i] : 0);
  return out;
}

// Gradients of each weighted loss, combined as told.
optim::GradientList combined(const Step& step, Combine how, const std::vector<Tensor>& parameters) {
  std::vector<Tensor> scaled;
  for (size_t i = 0; i < step.losses.size(); ++i) scaled.push_back(step.losses[i] * step.weights[i]);
  auto gradients = optim::objective_gradients(scaled, parameters);
  return how == Combine::pcgrad ? optim::pcgrad(gradients) : optim::mgda(gradients);
}

void look(Conflict& conflict, const Forward& forward, const std::vector<Objective>& objectives, const std::vector<Tensor>& parameters) {
  std::vector<Tensor> losses;
  for (const Objective& o : objectives) losses.push_back(o.loss(forward));
  auto g = optim::objective_gradients(losses, parameters);
  size_t n = g.size();
  conflict.cosine.resize(n * n), conflict.share.resize(n * n);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j) {
      double lengths = optim::norm(g[i]) * optim::norm(g[j]), cosine = lengths > 0 ? optim::dot(g[i], g[j]) / lengths : 0;
      conflict.cosine[i * n + j] += cosine;
      conflict.share[i * n + j] += cosine < 0;
    }
  ++conflict.looks;
}

}  // namespace

Objective cross_entropy_objective() {
  return {"cross-entropy", [](const Forward& f) { return cross_entropy_of(f.logits, f.y); }};
}
Objective demographic_parity_objective() {
  return {"demographic parity", [](const Forward& f) { return demographic_parity_penalty(sigmoid(f.logits), f.a); }};
}
Objective equalised_odds_objective() {
  return {"equalised odds", [](const Forward& f) { return equalised_odds_penalty(sigmoid(f.logits), f.y, f.a); }};
}
Objective calibration_objective() {
  return {"calibration", [](const Forward& f) { return calibration_penalty(sigmoid(f.logits), f.y, f.a); }};
}
Objective noise_objective(double sigma) {
  return {"noise", [sigma](const Forward& f) { return cross_entropy_of(f.model({f.x + randn_like(f.x) * sigma})[0], f.y); }};
}
Objective adversarial_objective(double epsilon) {
  return {"FGSM", [epsilon](const Forward& f) { return cross_entropy_of(f.model({fgsm(f.model, f.x, f.y, epsilon)})[0], f.y); }};
}

Tensor smooth_chebyshev(const std::vector<Tensor>& losses, const std::vector<double>& weights, const std::vector<double>& ideal,
                        double mu) {
  if (losses.empty() || weights.size() != losses.size() || ideal.size() != losses.size())
    throw ShapeError("smooth_chebyshev: " + std::to_string(losses.size()) + " losses, " + std::to_string(weights.size()) + " weights, " +
                     std::to_string(ideal.size()) + " ideal values");
  if (!(mu > 0)) throw ValueError("smooth_chebyshev: mu must be positive, it is " + decimal(mu));
  std::vector<Tensor> scaled;
  for (size_t i = 0; i < losses.size(); ++i) scaled.push_back((losses[i] - ideal[i]) * (weights[i] / mu));
  return logsumexp(stack(scaled)) * mu;
}

AugmentedLagrangian::AugmentedLagrangian(std::vector<double> bounds, double rho)
    : bounds_(std::move(bounds)), lambda_(bounds_.size()), rho_(rho) {
  if (!(rho > 0)) throw ValueError("augmented_lagrangian: rho must be positive, it is " + decimal(rho));
}

Tensor AugmentedLagrangian::loss(const std::vector<Tensor>& losses) const {
  if (losses.size() != bounds_.size() + 1)
    throw ShapeError("augmented_lagrangian: " + std::to_string(losses.size()) + " losses for " + std::to_string(bounds_.size()) +
                     " bounds");
  Tensor total = losses[0];
  for (size_t i = 0; i < bounds_.size(); ++i) {
    Tensor reach = clamp_min((losses[i + 1] - bounds_[i]) * rho_ + lambda_[i], 0);
    total = total + (square(reach) - lambda_[i] * lambda_[i]) / (2 * rho_);
  }
  return total;
}

void AugmentedLagrangian::update(const std::vector<Tensor>& losses) {
  for (size_t i = 0; i < bounds_.size(); ++i) lambda_[i] = std::max(0.0, lambda_[i] + rho_ * (losses.at(i + 1).item() - bounds_[i]));
}

void TrainOptions::check(size_t objectives) const {
  if (objectives == 0) throw ValueError("train_multi_objective: there are no objectives");
  if (!weights.empty() && weights.size() != objectives)
    throw ShapeError("train_multi_objective: " + std::to_string(objectives) + " objectives, " + std::to_string(weights.size()) +
                     " weights");
  double total = weights.empty() ? 1 : 0;
  for (double w : weights) {
    if (!(w >= 0) || std::isinf(w))
      throw ValueError("train_multi_objective: weights must be finite and not negative, one is " + decimal(w));
    total += w;
  }
  if (total == 0) throw ValueError("train_multi_objective: all weights are 0");
  if (steps < 0 || !(lr > 0) || multiplier_every < 1 || watch_every < 0)
    throw ValueError("train_multi_objective: needs steps and watch_every >= 0, lr > 0 and multiplier_every >= 1");
  if (combine == Combine::epsilon_constraint) {
    if (bounds.size() + 1 != objectives)
      throw ShapeError("train_multi_objective: " + std::to_string(bounds.size()) + " bounds for " + std::to_string(objectives) +
                       " objectives; the first has none");
    for (double w : weights)
      if (w == 0) throw ValueError("train_multi_objective: under constraints every objective counts; leave out the one of weight 0");
  }
}

TrainResult train_multi_objective(nn::Module& module, const TensorFunction& model, const Tensor& x, const Tensor& y, const Tensor& a,
                                  const std::vector<Objective>& objectives, const TrainOptions& o,
                                  const std::function<void(int64_t step)>& after_step) {
  o.check(objectives.size());
  std::vector<double> weights = weights_of(o, objectives.size());
  std::vector<Tensor> parameters = module.parameters();
  optim::Adam adam(parameters, {.lr = o.lr});
  AugmentedLagrangian lagrangian(o.combine == Combine::epsilon_constraint ? o.bounds : std::vector<double>{}, o.rho);
  TrainResult result{.losses = std::vector<double>(objectives.size())};
  for (int64_t t = 0; t < o.steps; ++t) {
    adam.zero_grad();
    Forward forward{model, x, y, a, model({x})[0]};
    Step step = losses_of(forward, objectives, weights);
    if (o.watch_every > 0 && t % o.watch_every == 0) {
      KeptGenerator keep;  // looking changes nothing that is trained
      look(result.conflict, forward, objectives, parameters);
    }
    switch (o.combine) {
      case Combine::weighted_sum:
        weighted(step).backward();
        break;
      case Combine::chebyshev:
        smooth_chebyshev(step.losses, step.weights, chosen(o.ideal, step.active), o.mu).backward();
        break;
      case Combine::epsilon_constraint:
        if (t % o.multiplier_every == 0 && t > 0) lagrangian.update(step.losses);
        lagrangian.loss(step.losses).backward();
        break;
      case Combine::pcgrad:
      case Combine::mgda:
        optim::set_gradients(parameters, combined(step, o.combine, parameters));
        break;
    }
    adam.step();
    if (t + 1 == o.steps)
      for (size_t i = 0; i < step.active.size(); ++i) result.losses[step.active[i]] = step.losses[i].item();
    if (after_step) after_step(t);
  }
  for (std::vector<double>* sums : {&result.conflict.cosine, &result.conflict.share})
    for (double& v : *sums) v /= static_cast<double>(result.conflict.looks);
  return result;
}

}  // namespace plumb::methods::rai_inconsistency
