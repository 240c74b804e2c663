// Training classifiers on frozen features.
#include "methods/common/probe.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "engine/data/dataset.h"
#include "models/metrics/confusion.h"
#include "models/optim/adam.h"
#include "models/optim/schedule.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods {
namespace {

void check(const Tensor& features, const Tensor& labels, const ProbeOptions& o) {
  if (features.rank() < 2 || features.numel() == 0)
    throw ValueError(fmt::format("probe: there are no features in {}", to_string(features.shape())));
  if (labels.shape() != Shape{features.size(0)})
    throw ShapeError(fmt::format("probe: labels {} do not fit features {}", to_string(labels.shape()), to_string(features.shape())));
  if (o.epochs < 1 || o.batch < 1) throw ValueError(fmt::format("probe: {} epochs of batches of {}", o.epochs, o.batch));
}

mlp::MlpConfig config_of(const Tensor& features, int64_t classes, const ProbeOptions& o) {
  return {.inputs = features.numel() / std::max<int64_t>(1, features.size(0)), .hidden = o.hidden, .outputs = classes};
}

}  // namespace

Probe::Probe(const Tensor& features, const Tensor& labels, int64_t classes, const ProbeOptions& o)
    : net_((check(features, labels, o), config_of(features, classes, o))) {
  Tensor x = flatten(features.detach(), 1);
  if (o.standardise) {
    NoGrad off;
    mean_ = mean(x, {0});
    scale_ = 1 / clamp_min(std_dev(x, {0}, 0), 1e-8);
  }
  x = standardised(features);
  int64_t n = x.size(0), batches = (n + o.batch - 1) / o.batch, step = 0;
  optim::AdamW adamw(net_.parameters(), {.lr = o.lr, .weight_decay = o.weight_decay});
  optim::Schedule schedule = optim::cosine(o.epochs * batches);
  Generator order(o.seed);
  for (int64_t epoch = 0; epoch < o.epochs; ++epoch) {
    Tensor places = from_vector(data::random_order(n, order));
    for (int64_t first = 0; first < n; first += o.batch) {
      Tensor rows = slice(places, 0, first, first + o.batch);
      adamw.set_lr_scale(schedule(step++));
      adamw.zero_grad();
      cross_entropy(net_(index_select(x, 0, rows)), index_select(labels, 0, rows)).backward();
      adamw.step();
    }
    if (o.progress) o.progress();
  }
  net_.eval();
}

Tensor Probe::standardised(const Tensor& features) const {
  NoGrad off;
  Tensor x = flatten(features.detach(), 1);
  return mean_.defined() ? (x - mean_) * scale_ : x;
}

Tensor Probe::operator()(const Tensor& features) const {
  NoGrad off;
  return net_(standardised(features));
}

double Probe::accuracy(const Tensor& features, const Tensor& labels) const {
  return metrics::accuracy(argmax((*this)(features), 1), labels);
}

Probe best_probe(const Tensor& features, const Tensor& labels, const Tensor& validation_features, const Tensor& validation_labels,
                 int64_t classes, const std::vector<double>& lrs, const ProbeOptions& options) {
  if (lrs.empty()) throw ValueError("probe: there are no learning rates to choose from");
  std::optional<Probe> best;
  double highest = -1;
  for (double lr : lrs) {
    ProbeOptions o = options;
    o.lr = lr;
    Probe probe(features, labels, classes, o);
    double accuracy = probe.accuracy(validation_features, validation_labels);
    if (accuracy > highest) highest = accuracy, best.emplace(std::move(probe));
  }
  return std::move(*best);
}

}  // namespace plumb::methods
