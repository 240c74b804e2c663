// Selecting samples, and the loop that adapts by them.
#include "methods/continual/eata/eata.h"

#include <fmt/format.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "models/nn/batch_statistics.h"
#include "models/optim/parameters.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::eata {
namespace {

void require(bool fine, const char* what, double value, const char* rule) {
  if (!fine) throw ValueError(fmt::format("eata: {} is {}, it {}", what, value, rule));
}

Tensor places(const Tensor& mask) { return squeeze(nonzero(mask), 1); }

/// |⟨p_i, m⟩| / max(|p_i||m|, 1e-8): [B].
Tensor redundancy(const Tensor& p, const Tensor& m) {
  return abs(matmul(p, m)) / clamp_min(norm(p, 2, {1}) * norm(m), 1e-8);
}

std::vector<Tensor> tensors_of(const std::vector<nn::NamedTensor>& named) {
  std::vector<Tensor> tensors;
  for (const nn::NamedTensor& p : named) tensors.push_back(p.tensor);
  return tensors;
}

}  // namespace

void EataOptions::check() const {
  require(!std::isnan(e0), "e0", e0, "must be a number");
  require(d_margin >= 0, "d_margin", d_margin, "must not be negative");
  require(fisher_weight >= 0, "fisher_weight", fisher_weight, "must not be negative");
  require(momentum_m >= 0 && momentum_m <= 1, "momentum_m", momentum_m, "must lie in [0, 1]");
  require(steps >= 1, "steps", static_cast<double>(steps), "must be at least 1");
}

Selection select_samples(const Tensor& logits, const Tensor& mean, const EataOptions& o) {
  NoGrad off;
  if (logits.rank() != 2) throw ShapeError(fmt::format("eata: logits must be [B, C], they are {}", to_string(logits.shape())));
  if (mean.defined() && mean.shape() != Shape{logits.size(1)})
    throw ShapeError(fmt::format("eata: the mean prediction is {} for logits {}", to_string(mean.shape()), to_string(logits.shape())));
  double margin = o.e0 * std::log(static_cast<double>(logits.size(1)));
  Tensor entropy = softmax_entropy(logits.detach()), p = softmax(logits.detach(), 1);
  Tensor reliable = entropy < margin, selected = mean.defined() ? logical_and(reliable, redundancy(p, mean) < o.d_margin) : reliable;
  Selection s{places(reliable), places(selected), {}, mean};
  if (o.weighted) s.weight = exp(margin - index_select(entropy, 0, s.selected));
  if (s.selected.numel() == 0) return s;
  Tensor now = plumb::mean(index_select(p, 0, s.selected), {0});
  s.mean = mean.defined() ? mean * (1 - o.momentum_m) + now * o.momentum_m : now;
  return s;
}

Tensor selected_entropy(const Tensor& logits, const Selection& s) {
  if (s.selected.numel() == 0) return scalar_tensor(0.0, logits.dtype());
  Tensor entropy = index_select(softmax_entropy(logits), 0, s.selected);
  return mean(s.weight.defined() ? s.weight * entropy : entropy);
}

FisherDiagonal eata_fisher(nn::Module& model, const std::function<Tensor(const Tensor&)>& forward, const Tensor& clean_inputs,
                           int64_t batch) {
  std::vector<nn::NamedTensor> parameters = batch_norm_parameters(model, "eata");
  train_only(model, parameters);
  model.eval();
  nn::BatchStatistics by_batch;
  return estimate_fisher([&](const Tensor& x) { return forward(x); }, parameters, clean_inputs, {}, {.batch = batch});
}

TestTimeAdapter::TestTimeAdapter(nn::Module& model, Forward forward, const AdapterOptions& options, const FisherDiagonal& fisher)
    : forward_(std::move(forward)),
      options_((options.eata.check(), options)),
      parameters_(batch_norm_parameters(model, "eata")),
      source_(optim::clone(tensors_of(parameters_))),
      sgd_(fresh_optimizer()) {
  if (options_.mode == Mode::eata && options_.eata.fisher_weight > 0) {
    if (fisher.names.empty())
      throw ValueError("eata: a positive fisher_weight needs the Fisher diagonal of the clean training distribution");
    anchor_ = QuadraticAnchor(parameters_, fisher, options_.eata.fisher_weight);
  }
  model.eval();
  train_only(model, parameters_);
}

optim::SGD TestTimeAdapter::fresh_optimizer() const { return optim::SGD(tensors_of(parameters_), options_.sgd); }

Tensor TestTimeAdapter::forward(const Tensor& x) {
  ++counters_.batches;
  counters_.samples += x.size(0);
  if (options_.mode == Mode::source || options_.mode == Mode::bn) {
    NoGrad off;
    nn::BatchStatistics by_batch(options_.mode == Mode::bn);
    return forward_(x);
  }
  Tensor logits;
  for (int64_t step = 0; step < options_.eata.steps; ++step) logits = adapt(x);
  return logits;
}

Tensor TestTimeAdapter::adapt(const Tensor& x) {
  GradMode on(true);
  nn::BatchStatistics by_batch;
  Tensor logits = forward_(x), loss = objective(logits);
  if (!loss.defined()) return logits.detach();
  loss.backward();
  sgd_.step();
  sgd_.zero_grad();
  ++counters_.updates;
  return logits.detach();
}

// Undefined if there is nothing to learn from: then not even the penalty pulls.
Tensor TestTimeAdapter::objective(const Tensor& logits) {
  if (options_.mode == Mode::tent) {
    counters_.reliable += logits.size(0);
    counters_.selected += logits.size(0);
    counters_.selected_per_batch.push_back(logits.size(0));
    return tent_loss(logits);
  }
  Selection s = select_samples(logits, mean_, options_.eata);
  mean_ = s.mean;
  counters_.reliable += s.reliable.numel();
  counters_.selected += s.selected.numel();
  counters_.selected_per_batch.push_back(s.selected.numel());
  if (s.selected.numel() == 0) return {};
  Tensor loss = selected_entropy(logits, s);
  return anchor_.weight() > 0 ? loss + anchor_.penalty() : loss;
}

void TestTimeAdapter::reset() {
  optim::copy(source_, tensors_of(parameters_));
  sgd_ = fresh_optimizer();
  for (const nn::NamedTensor& p : parameters_) p.tensor.zero_grad();
  mean_ = {};
}

}  // namespace plumb::methods::eata
