// Decoupled Mixup: the masked softmax, the weights of its terms, and the losses made of them.
#include "methods/regularization/decoupled_mixup/decoupled_mixup.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "engine/core/error.h"
#include "methods/common/class_labels.h"
#include "methods/common/mixing.h"
#include "methods/common/reduction.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::decoupled_mixup {
namespace {

void check_labels(const char* op, const Tensor& logits, const Tensor& a, const Tensor& b) {
  if (logits.rank() != 2 || !is_floating(logits.dtype()))
    throw ShapeError(fmt::format("{}: takes floating logits [B, C], got {}", op, to_string(logits.shape())));
  for (const Tensor* labels : {&a, &b}) {
    if (labels->rank() != 1 || labels->dtype() != i64 || labels->size(0) != logits.size(0))
      throw ShapeError(fmt::format("{}: labels must be i64 [{}], got {}", op, logits.size(0), to_string(labels->shape())));
    check_class_labels(op, *labels, logits.size(1));
  }
}

void check_rescaling(const char* op, double t, double xi) {
  if (!(t > 0 && t <= 1)) throw ValueError(fmt::format("{}: the threshold must lie in (0, 1], it is {}", op, t));
  if (!(xi >= 0)) throw ValueError(fmt::format("{}: the exponent must not be negative, it is {}", op, xi));
}

Tensor same_share(const Tensor& logits, double lambda) {
  return full({logits.rank() > 0 ? logits.size(0) : 1}, lambda, is_floating(logits.dtype()) ? logits.dtype() : f32, logits.device());
}

// log φ_target; rows of `together` exclude nothing.
Tensor masked_log_prob(const Tensor& logits, const Tensor& target, const Tensor& excluded, const Tensor& together) {
  Tensor kept = one_hot(excluded, logits.size(1)) == 0;
  Tensor mask = logical_or(kept, unsqueeze(together, 1));
  return squeeze(gather(masked_log_softmax(logits, mask, 1), 1, unsqueeze(target, 1)), 1);
}

// The weights of −log φ_a and −log φ_b, without η: 0 where there is nothing to decouple.
struct Weights {
  std::vector<double> a, b;
};

Weights weights_of(const Tensor& labels_a, const Tensor& labels_b, const Tensor& lambda, const DecoupledMixupOptions& o) {
  auto shares = to_vector(lambda.detach());
  auto first = to_vector<int64_t>(labels_a), second = to_vector<int64_t>(labels_b);
  Weights w;
  for (size_t i = 0; i < shares.size(); ++i) {
    double l = shares[i];
    bool mixed = first[i] != second[i] && l > 0 && l < 1, a_leads = l >= 0.5;
    bool a = mixed && (o.terms == Terms::both || a_leads == (o.terms == Terms::more));
    bool b = mixed && (o.terms == Terms::both || a_leads != (o.terms == Terms::more));
    w.a.push_back(a ? rescale_lambda(l, o.threshold, o.exponent) : 0);
    w.b.push_back(b ? rescale_lambda(1 - l, o.threshold, o.exponent) : 0);
  }
  return w;
}

// L_DR of each example.
Tensor decoupled_rows(const Tensor& logits, const Tensor& a, const Tensor& b, const Weights& w) {
  Tensor together = a == b;
  auto weight = [&](const std::vector<double>& values) { return to(to(from_vector(values), logits.dtype()), logits.device()); };
  return -(weight(w.a) * masked_log_prob(logits, a, b, together) + weight(w.b) * masked_log_prob(logits, b, a, together));
}

class DecoupledObjective : public MixObjective {
 public:
  DecoupledObjective(const MixPolicy& policy, const DecoupledMixupOptions& options) : policy_(policy), options_(options) {
    policy.check();
    options.check();
  }
  Tensor loss(const StagedNetwork& network, const Tensor& x, const Tensor& labels, Generator& generator) override {
    MixedLogits m = mixed_logits(policy_, network, x, labels, generator);
    return decoupled_mixup_loss(m.logits, m.labels.first, m.labels.second, m.labels.lambda, options_);
  }

 private:
  MixPolicy policy_;
  DecoupledMixupOptions options_;
};

}  // namespace

Tensor decoupled_log_prob(const Tensor& logits, const Tensor& target, const Tensor& excluded) {
  check_labels("decoupled_log_prob", logits, target, excluded);
  auto wanted = to_vector<int64_t>(target), left_out = to_vector<int64_t>(excluded);
  for (size_t i = 0; i < wanted.size(); ++i)
    if (wanted[i] == left_out[i]) throw ValueError(fmt::format("decoupled_log_prob: row {} excludes its target, class {}", i, wanted[i]));
  return masked_log_prob(logits, target, excluded, zeros({logits.size(0)}, boolean, logits.device()));
}

double rescale_lambda(double l, double t, double xi) {
  if (!(l >= 0 && l <= 1)) throw ValueError(fmt::format("rescale_lambda: lambda must lie in [0, 1], it is {}", l));
  check_rescaling("rescale_lambda", t, xi);
  return l < t ? std::pow(l / t, xi) : 1;
}

void DecoupledMixupOptions::check() const {
  if (!(eta >= 0)) throw ValueError(fmt::format("decoupled_mixup: eta must not be negative, it is {}", eta));
  check_rescaling("decoupled_mixup", threshold, exponent);
}

Tensor decoupled_mixup_loss(const Tensor& logits, const Tensor& labels_a, const Tensor& labels_b, const Tensor& lambda,
                            const DecoupledMixupOptions& o, Reduction reduction) {
  o.check();
  check_labels("decoupled_mixup", logits, labels_a, labels_b);
  check_shares("decoupled_mixup", lambda, logits.size(0));
  Tensor rows = cross_entropy(logits, mixed_targets(labels_a, labels_b, to(lambda, logits.dtype()), logits.size(1)),
                              {.label_smoothing = o.label_smoothing, .reduction = Reduction::none});
  if (o.eta > 0) rows = rows + o.eta * decoupled_rows(logits, labels_a, labels_b, weights_of(labels_a, labels_b, lambda, o));
  return reduced(rows, reduction);
}

Tensor decoupled_mixup_loss(const Tensor& logits, const Tensor& labels_a, const Tensor& labels_b, double lambda,
                            const DecoupledMixupOptions& options, Reduction reduction) {
  return decoupled_mixup_loss(logits, labels_a, labels_b, same_share(logits, lambda), options, reduction);
}

Tensor mixup_bce_loss(const Tensor& logits, const Tensor& labels_a, const Tensor& labels_b, const Tensor& lambda, const MixupBceOptions& o,
                      Reduction reduction) {
  check_rescaling("mixup_bce", o.threshold, o.exponent);
  check_labels("mixup_bce", logits, labels_a, labels_b);
  check_shares("mixup_bce", lambda, logits.size(0));
  auto shares = to_vector(lambda.detach());
  auto a = to_vector<int64_t>(labels_a), b = to_vector<int64_t>(labels_b);
  Tensor target = zeros({logits.size(0), logits.size(1)}, f64);
  for (size_t i = 0; i < shares.size(); ++i) {
    double* row = target.data<double>() + static_cast<int64_t>(i) * logits.size(1);
    row[a[i]] += rescale_lambda(shares[i], o.threshold, o.exponent);
    row[b[i]] += rescale_lambda(1 - shares[i], o.threshold, o.exponent);
    row[a[i]] = std::min(1.0, row[a[i]]);
  }
  Tensor elements =
      binary_cross_entropy_with_logits(logits, to(to(target, logits.dtype()), logits.device()), {.reduction = Reduction::none});
  return reduced(mean(elements, {1}), reduction);
}

Tensor mixup_bce_loss(const Tensor& logits, const Tensor& labels_a, const Tensor& labels_b, double lambda, const MixupBceOptions& options,
                      Reduction reduction) {
  return mixup_bce_loss(logits, labels_a, labels_b, same_share(logits, lambda), options, reduction);
}

Tensor semi_supervised_loss(const Tensor& logits, const Tensor& labels, const Tensor& guesses, const Tensor& confidence, double lambda,
                            const SemiSupervisedOptions& o) {
  o.loss.check();
  if (!(lambda >= 0.5 && lambda <= 1)) throw ValueError(fmt::format("semi_supervised_loss: lambda must lie in [0.5, 1], it is {}", lambda));
  check_labels("semi_supervised_loss", logits, labels, guesses);
  if (confidence.rank() != 1 || confidence.size(0) != logits.size(0))
    throw ShapeError(fmt::format("semi_supervised_loss: confidence must be [{}], got {}", logits.size(0), to_string(confidence.shape())));
  double least = std::min(o.threshold, std::max(o.mixed_threshold, 1 - lambda));
  std::vector<double> counts;
  for (double p : to_vector(confidence)) {
    if (!(p >= 0 && p <= 1)) throw ValueError(fmt::format("semi_supervised_loss: a confidence must lie in [0, 1], one is {}", p));
    counts.push_back(p >= least ? 1 : 0);
  }
  Tensor rows = cross_entropy(logits, labels, {.reduction = Reduction::none});
  rows = rows + (1 - lambda) * cross_entropy(logits, guesses, {.reduction = Reduction::none});
  Tensor shares = same_share(logits, lambda);
  if (o.loss.eta > 0) rows = rows + o.loss.eta * decoupled_rows(logits, labels, guesses, weights_of(labels, guesses, shares, o.loss));
  return mean(rows * to(to(from_vector(counts), logits.dtype()), logits.device()));
}

std::unique_ptr<MixObjective> decoupled_objective(const MixPolicy& policy, const DecoupledMixupOptions& options) {
  return std::make_unique<DecoupledObjective>(policy, options);
}

}  // namespace plumb::methods::decoupled_mixup
