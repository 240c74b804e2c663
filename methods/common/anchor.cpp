// Quadratic penalties about earlier weights.
#include "methods/common/anchor.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods {

QuadraticAnchor::QuadraticAnchor(std::vector<Tensor> parameters, std::vector<Tensor> omega, std::vector<Tensor> origin, double weight)
    : parameters_(std::move(parameters)), omega_(std::move(omega)), origin_(std::move(origin)), weight_(weight) {
  if (!(weight >= 0)) throw ValueError(fmt::format("anchor: the weight is {}, it must not be negative", weight));
  if (omega_.size() != parameters_.size() || origin_.size() != parameters_.size())
    throw ShapeError(
        fmt::format("anchor: {} parameters with {} importances and {} origins", parameters_.size(), omega_.size(), origin_.size()));
  for (size_t k = 0; k < parameters_.size(); ++k)
    for (const Tensor* other : {&omega_[k], &origin_[k]})
      if (other->shape() != parameters_[k].shape())
        throw ShapeError(fmt::format("anchor: parameter {} is {}, its {} {}", k, to_string(parameters_[k].shape()),
                                     other == &omega_[k] ? "importance" : "origin", to_string(other->shape())));
}

namespace {

std::vector<Tensor> tensors_of(const std::vector<nn::NamedTensor>& named) {
  std::vector<Tensor> tensors;
  for (const nn::NamedTensor& p : named) tensors.push_back(p.tensor);
  return tensors;
}

// Those of `values`, which belong to the names of `fisher`, that belong to the parameters.
std::vector<Tensor> by_name(const std::vector<nn::NamedTensor>& parameters, const FisherDiagonal& fisher,
                            const std::vector<Tensor>& values) {
  std::vector<Tensor> chosen;
  for (const nn::NamedTensor& p : parameters) {
    auto found = std::ranges::find(fisher.names, p.name);
    if (found == fisher.names.end()) throw ValueError(fmt::format("anchor: the Fisher diagonal has no parameter \"{}\"", p.name));
    chosen.push_back(values.at(static_cast<size_t>(found - fisher.names.begin())));
  }
  return chosen;
}

}  // namespace

QuadraticAnchor::QuadraticAnchor(const std::vector<nn::NamedTensor>& parameters, const FisherDiagonal& fisher, double weight)
    : QuadraticAnchor(tensors_of(parameters), by_name(parameters, fisher, fisher.omega), by_name(parameters, fisher, fisher.origin),
                      weight) {}

QuadraticAnchor QuadraticAnchor::to_current(const std::vector<nn::NamedTensor>& parameters, double weight) {
  NoGrad off;
  std::vector<Tensor> omega, origin;
  for (const nn::NamedTensor& p : parameters) {
    omega.push_back(ones_like(p.tensor));
    origin.push_back(clone(p.tensor.detach()));
  }
  return {tensors_of(parameters), std::move(omega), std::move(origin), weight};
}

Tensor QuadraticAnchor::penalty() const {
  if (parameters_.empty() || weight_ == 0) return scalar_tensor(0.0, parameters_.empty() ? f32 : parameters_[0].dtype());
  Tensor total;
  for (size_t k = 0; k < parameters_.size(); ++k) {
    Tensor term = sum(omega_[k] * square(parameters_[k] - origin_[k]));
    total = total.defined() ? total + term : term;
  }
  return total * weight_;
}

double anchor_step_ratio(double lr, double weight, double largest_omega, double momentum) {
  if (!(momentum >= 0 && momentum < 1)) throw ValueError(fmt::format("anchor: the momentum is {}, it must lie in [0, 1)", momentum));
  return lr * weight * largest_omega / (1 + momentum);
}

Ewc::Ewc(std::vector<nn::NamedTensor> parameters, EwcOptions options) : parameters_(std::move(parameters)), options_(options) {
  if (!(options.strength >= 0)) throw ValueError(fmt::format("ewc: the strength is {}, it must not be negative", options.strength));
  if (!(options.decay >= 0 && options.decay <= 1))
    throw ValueError(fmt::format("ewc: the decay is {}, it must lie in [0, 1]", options.decay));
}

void Ewc::consolidate(const FisherDiagonal& fisher) {
  QuadraticAnchor latest(parameters_, fisher, options_.strength / 2);
  if (!options_.online || anchors_.empty()) return anchors_.push_back(std::move(latest));
  NoGrad off;
  std::vector<Tensor> omega;
  for (size_t k = 0; k < parameters_.size(); ++k) omega.push_back(anchors_[0].omega()[k] * options_.decay + latest.omega()[k]);
  anchors_[0] = QuadraticAnchor(tensors_of(parameters_), std::move(omega), latest.origin(), options_.strength / 2);
}

Tensor Ewc::penalty() const {
  if (anchors_.empty()) return QuadraticAnchor().penalty();
  Tensor total = anchors_[0].penalty();
  for (size_t t = 1; t < anchors_.size(); ++t) total = total + anchors_[t].penalty();
  return total;
}

}  // namespace plumb::methods
