// Squared gradients, loss by loss.
#include "methods/common/fisher.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "models/optim/parameters.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods {

double FisherDiagonal::largest() const {
  if (omega.empty()) throw ValueError("fisher: there are no parameters");
  double result = 0;
  for (const Tensor& w : omega)
    if (w.numel() > 0) result = std::max(result, max(w).item());
  return result;
}

FisherAccumulator::FisherAccumulator(std::vector<nn::NamedTensor> parameters) : parameters_(std::move(parameters)) {
  if (parameters_.empty()) throw ValueError("fisher: there are no parameters");
  for (const nn::NamedTensor& p : parameters_) sums_.push_back(zeros_like(p.tensor.detach()));
}

void FisherAccumulator::add(const Tensor& loss, double weight, bool retain_graph) {
  if (loss.numel() != 1) throw ShapeError(fmt::format("fisher: a loss is one number, got {}", to_string(loss.shape())));
  if (!(weight >= 0)) throw ValueError(fmt::format("fisher: a loss with the weight {}", weight));
  std::vector<Tensor> parameters;
  for (const nn::NamedTensor& p : parameters_) parameters.push_back(p.tensor);
  std::vector<Tensor> gradients = grad({loss}, parameters, {.retain_graph = retain_graph, .allow_unused = true});
  NoGrad off;
  for (size_t k = 0; k < sums_.size(); ++k)
    if (gradients[k].defined()) add_(sums_[k], square(gradients[k]) * weight);
  weight_ += weight;
}

FisherDiagonal FisherAccumulator::diagonal() const {
  if (weight_ <= 0) throw ValueError("fisher: no loss was given");
  NoGrad off;
  FisherDiagonal result;
  for (size_t k = 0; k < sums_.size(); ++k) {
    result.names.push_back(parameters_[k].name);
    result.omega.push_back(sums_[k] / weight_);
    result.origin.push_back(clone(parameters_[k].tensor.detach()));
  }
  return result;
}

namespace {

void visit_batch(const LossVisitor& visit, const Tensor& logits, const Tensor& given, const FisherOptions& o) {
  int64_t count = logits.size(0), classes = logits.size(1);
  Tensor labels = given;
  {
    NoGrad off;
    if (o.labels == FisherLabels::pseudo) labels = argmax(logits, 1);
    if (o.labels == FisherLabels::sampled) labels = categorical(logits.detach(), o.generator);
  }
  if (o.unit == FisherUnit::batch) return visit(cross_entropy(logits, labels), 1, false);
  if (o.labels == FisherLabels::expected) {
    Tensor losses = neg(log_softmax(logits, 1)), p = softmax(logits.detach(), 1);  // the loss of every label
    for (int64_t i = 0; i < count; ++i)
      for (int64_t c = 0; c < classes; ++c)
        visit(select(select(losses, 0, i), 0, c), select(select(p, 0, i), 0, c).item(), i + 1 < count || c + 1 < classes);
    return;
  }
  Tensor losses = cross_entropy(logits, labels, {.reduction = Reduction::none});
  for (int64_t i = 0; i < count; ++i) visit(select(losses, 0, i), 1, i + 1 < count);
}

}  // namespace

void visit_fisher_losses(const TensorFunction& model, const Tensor& inputs, const Tensor& labels, const FisherOptions& o,
                         const LossVisitor& visit) {
  if (o.batch < 1) throw ValueError(fmt::format("fisher: a batch of {}", o.batch));
  if (o.labels == FisherLabels::expected && o.unit == FisherUnit::batch)
    throw ValueError("fisher: the expectation over labels is taken for each sample, not for a batch");
  if (inputs.rank() < 1 || inputs.size(0) == 0)
    throw ValueError(fmt::format("fisher: there are no inputs in {}", to_string(inputs.shape())));
  int64_t n = inputs.size(0);
  if (o.labels == FisherLabels::given && (!labels.defined() || labels.shape() != Shape{n}))
    throw ShapeError(fmt::format("fisher: labels are {} for {} inputs", labels.defined() ? to_string(labels.shape()) : "not given", n));
  GradMode on(true);
  for (int64_t first = 0; first < n; first += o.batch) {
    int64_t last = std::min(first + o.batch, n);
    Tensor logits = model({slice(inputs, 0, first, last)}).at(0);
    if (logits.rank() != 2 || logits.size(0) != last - first)
      throw ShapeError(fmt::format("fisher: the model gave {} for {} inputs, not [B, C]", to_string(logits.shape()), last - first));
    visit_batch(visit, logits, o.labels == FisherLabels::given ? slice(labels, 0, first, last) : Tensor(), o);
  }
}

FisherDiagonal estimate_fisher(const TensorFunction& model, std::vector<nn::NamedTensor> parameters, const Tensor& inputs,
                               const Tensor& labels, const FisherOptions& options) {
  FisherAccumulator fisher(std::move(parameters));
  visit_fisher_losses(model, inputs, labels, options,
                      [&](const Tensor& loss, double weight, bool retain) { fisher.add(loss, weight, retain); });
  return fisher.diagonal();
}

}  // namespace plumb::methods
