// The penalties of AlignGuard-LoRA and their sum.
#include "methods/finetuning/alignguard_lora/alignguard_lora.h"

#include <fmt/format.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::alignguard_lora {
namespace {

void check_same(const char* op, const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) throw ShapeError(fmt::format("{}: the parts are {} and {}", op, to_string(a.shape()), to_string(b.shape())));
}

void check_layers(const std::vector<GuardedLayer>& layers) {
  if (layers.empty()) throw ValueError("alignguard: there are no layers");
  for (const GuardedLayer& layer : layers)
    if (layer.h.defined() && layer.h.shape() != Shape{layer.space.dimension()})
      throw ShapeError(fmt::format("alignguard: h is {} for a layer of {} rows", to_string(layer.h.shape()), layer.space.dimension()));
}

void accumulate(Tensor& sum, const Tensor& term) { sum = sum.defined() ? sum + term : term; }

Terms averaged(Terms t, size_t layers) {
  t.riemannian = t.riemannian / static_cast<double>(layers);
  t.geodesic = t.geodesic / static_cast<double>(layers);
  return t;
}

}  // namespace

Tensor weighted_subspace_penalty(const Tensor& change, const FisherSpace& space) {
  if (change.rank() < 1 || change.size(0) != space.dimension())
    throw ShapeError(fmt::format("alignguard: a change {} in a space of {} dimensions", to_string(change.shape()), space.dimension()));
  Tensor along = matmul(mT(space.vectors), reshape(change, {change.size(0), -1}));
  return sum(unsqueeze(space.values, 1) * square(along));
}

Tensor weighted_square(const Tensor& change, const Tensor& h) {
  if (!h.defined()) return sum(square(change));
  if (change.rank() < 1 || h.shape() != Shape{change.size(0)})
    throw ShapeError(fmt::format("alignguard: h is {} for a change {}", to_string(h.shape()), to_string(change.shape())));
  return sum(unsqueeze(h, 1) * square(reshape(change, {change.size(0), -1})));
}

Tensor riemannian_overlap(const Tensor& a, const Tensor& b, const Tensor& w, double beta, double tau, Reduction reduction) {
  check_same("riemannian_overlap", a, b);
  check_same("riemannian_overlap", a, w);
  Tensor overlap = (sigmoid(abs(w) - tau) * beta + 1) * abs(a * b);
  return reduction == Reduction::sum ? sum(overlap) : mean(overlap);
}

Tensor squared_cosine(const Tensor& a, const Tensor& b, double eps) {
  check_same("squared_cosine", a, b);
  if (!(eps > 0)) throw ValueError(fmt::format("squared_cosine: eps must be positive, it is {}", eps));
  return square(sum(a * b)) / (sum(square(a)) * sum(square(b)) + eps);
}

void AlignGuardOptions::check() const {
  for (auto [name, value] : {std::pair{"alignment", alignment}, {"task", task}, {"collision", collision}})
    if (!(value >= 0)) throw ValueError(fmt::format("alignguard: the multiplier {} must not be negative, it is {}", name, value));
  if (!(alpha >= 0 && alpha <= 1)) throw ValueError(fmt::format("alignguard: alpha must lie in [0, 1], it is {}", alpha));
  if (!(eps > 0)) throw ValueError(fmt::format("alignguard: eps must be positive, it is {}", eps));
  if (reduction == Reduction::none) throw ValueError("alignguard: the overlap must be reduced to one number, by its mean or its sum");
}

AlignGuard::AlignGuard(std::vector<GuardedLayer> layers, AlignGuardOptions options) : layers_(std::move(layers)), options_(options) {
  options_.check();
  check_layers(layers_);
}

void AlignGuard::check_count(size_t changes) const {
  if (changes != layers_.size()) throw ShapeError(fmt::format("alignguard: {} changes for {} layers", changes, layers_.size()));
}

void AlignGuard::add(Terms& t, size_t layer, const Tensor& a, const Tensor& b, const Tensor& whole) const {
  const AlignGuardOptions& o = options_;
  accumulate(t.alignment, weighted_subspace_penalty(a, layers_[layer].space));
  accumulate(t.task, weighted_square(b, layers_[layer].h));
  accumulate(t.riemannian, riemannian_overlap(a, b, whole, o.beta, o.tau, o.reduction));
  accumulate(t.geodesic, squared_cosine(a, b, o.eps));
}

Terms AlignGuard::terms(const std::vector<Tensor>& changes) const {
  check_count(changes.size());
  Terms t;
  for (size_t i = 0; i < changes.size(); ++i) {
    Tensor d = anchors_.empty() ? changes[i] : changes[i] - anchors_[i], a = layers_[i].space.project(d);
    add(t, i, a, d - a, d);
  }
  return averaged(t, changes.size());
}

Terms AlignGuard::terms(const std::vector<Tensor>& alignment, const std::vector<Tensor>& task) const {
  check_count(alignment.size());
  check_count(task.size());
  Terms t;
  for (size_t i = 0; i < alignment.size(); ++i) {
    check_same("alignguard", alignment[i], task[i]);
    add(t, i, alignment[i], task[i], alignment[i] + task[i]);
  }
  return averaged(t, alignment.size());
}

Tensor AlignGuard::weighted(const Tensor& task_loss, const Terms& t) const {
  const AlignGuardOptions& o = options_;
  Tensor loss = task_loss;
  if (o.alignment != 0) loss = loss + t.alignment * o.alignment;
  if (o.task != 0) loss = loss + t.task * o.task;
  if (o.collision != 0) loss = loss + (t.riemannian * o.alpha + t.geodesic * (1 - o.alpha)) * o.collision;
  return loss;
}

Tensor AlignGuard::loss(const Tensor& task_loss, const std::vector<Tensor>& changes) const {
  bool any = options_.alignment != 0 || options_.task != 0 || options_.collision != 0;
  return any ? weighted(task_loss, terms(changes)) : task_loss;
}

Tensor AlignGuard::loss(const Tensor& task_loss, const std::vector<Tensor>& alignment, const std::vector<Tensor>& task) const {
  bool any = options_.alignment != 0 || options_.task != 0 || options_.collision != 0;
  return any ? weighted(task_loss, terms(alignment, task)) : task_loss;
}

void AlignGuard::refresh(std::vector<GuardedLayer> layers, const std::vector<Tensor>& changes) {
  check_layers(layers);
  if (changes.size() != layers.size()) throw ShapeError(fmt::format("alignguard: {} changes for {} layers", changes.size(), layers.size()));
  NoGrad off;
  std::vector<Tensor> anchors;
  for (const Tensor& d : changes) anchors.push_back(clone(d.detach()));
  layers_ = std::move(layers);
  anchors_ = std::move(anchors);
}

double PowerLaw::operator()(double x) const { return coefficient * std::pow(x, exponent); }

PowerLaw fit_power_law(std::span<const double> x, std::span<const double> y) {
  if (x.size() != y.size()) throw ValueError(fmt::format("fit_power_law: {} places and {} values", x.size(), y.size()));
  double n = static_cast<double>(x.size()), mean_x = 0, mean_y = 0, xx = 0, xy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (!(x[i] > 0) || !(y[i] > 0)) throw ValueError(fmt::format("fit_power_law: needs positive numbers, got {} at {}", y[i], x[i]));
    mean_x += std::log(x[i]) / n;
    mean_y += std::log(y[i]) / n;
  }
  for (size_t i = 0; i < x.size(); ++i) {
    xx += (std::log(x[i]) - mean_x) * (std::log(x[i]) - mean_x);
    xy += (std::log(x[i]) - mean_x) * (std::log(y[i]) - mean_y);
  }
  if (!(xx > 0)) throw ValueError("fit_power_law: needs two different places");
  double exponent = xy / xx;
  return {std::exp(mean_y - exponent * mean_x), exponent};
}

}  // namespace plumb::methods::alignguard_lora
