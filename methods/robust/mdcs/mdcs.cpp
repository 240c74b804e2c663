// MDCS: the losses.
#include "methods/robust/mdcs/mdcs.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "methods/common/class_labels.h"
#include "methods/common/long_tail_losses.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::mdcs {
namespace {

void check_experts(const std::vector<Tensor>& logits) {
  if (logits.empty()) throw ValueError("mdcs: there are no experts");
  for (const Tensor& v : logits)
    if (v.rank() != 2 || v.shape() != logits[0].shape())
      throw ShapeError(fmt::format("mdcs: logits of experts must have one shape [N, C], got {} and {}", to_string(logits[0].shape()),
                                   to_string(v.shape())));
}

void check_labels(const Tensor& labels, int64_t rows, int64_t classes) {
  if (labels.dtype() != DType::i64 || labels.shape() != Shape{rows})
    throw ShapeError(fmt::format("mdcs: labels must be i64 [{}], got {} {}", rows, name(labels.dtype()), to_string(labels.shape())));
  check_class_labels("mdcs", labels, classes);
}

// The places of the rows that may teach, i64 [|I|].
Tensor teachers(const Tensor& weak_logits, const Tensor& labels) {
  NoGrad no_grad;
  return flatten(nonzero(argmax(weak_logits, 1) == labels));
}

}  // namespace

Tensor confident_self_distill(const Tensor& weak_logits, const Tensor& strong_logits, const Tensor& labels, double temperature,
                              bool confident_only) {
  check_experts({weak_logits, strong_logits});
  check_labels(labels, weak_logits.size(0), weak_logits.size(1));
  if (!(temperature > 0)) throw ValueError(fmt::format("mdcs: the temperature must be positive, it is {}", temperature));
  Tensor weak = weak_logits.detach(), strong = strong_logits;
  if (confident_only) {
    Tensor places = teachers(weak, labels);
    weak = index_select(weak, 0, places);
    strong = index_select(strong, 0, places);
  }
  if (weak.size(0) == 0) return zeros({}, strong_logits.dtype(), strong_logits.device());
  Tensor teacher = log_softmax(weak, 1, temperature), student = log_softmax(strong, 1, temperature);
  return kl_div(student, teacher, {.log_target = true}) * (temperature * temperature);
}

Tensor diversity_loss(const std::vector<Tensor>& logits, const Tensor& labels, const std::vector<Tensor>& priors) {
  check_experts(logits);
  if (logits.size() != priors.size()) throw ShapeError(fmt::format("mdcs: {} experts for {} exponents", logits.size(), priors.size()));
  Tensor total = prior_adjusted_cross_entropy(logits[0], labels, priors[0]);
  for (size_t e = 1; e < logits.size(); ++e) total = total + prior_adjusted_cross_entropy(logits[e], labels, priors[e]);
  return total;
}

MdcsLoss::MdcsLoss(const std::vector<int64_t>& counts, MdcsOptions options) : options_(std::move(options)) {
  const MdcsOptions& o = options_;
  if (o.exponents.empty()) throw ValueError("mdcs: there are no exponents");
  if (!(o.alpha >= 0)) throw ValueError(fmt::format("mdcs: alpha must not be negative, it is {}", o.alpha));
  if (!(o.warmup >= 0)) throw ValueError(fmt::format("mdcs: the warm-up must not be negative, it is {}", o.warmup));
  if (!(o.temperature > 0)) throw ValueError(fmt::format("mdcs: the temperature must be positive, it is {}", o.temperature));
  for (double lambda : o.exponents) priors_.push_back(log_prior(counts, lambda));
}

double MdcsLoss::weight(double epoch) const {
  return options_.alpha * (options_.warmup > 0 ? std::min(epoch / options_.warmup, 1.0) : 1.0);
}

MdcsTerms MdcsLoss::operator()(const std::vector<Tensor>& logits, const Tensor& labels, double epoch) const {
  check_experts(logits);
  if (logits.size() != priors_.size()) throw ShapeError(fmt::format("mdcs: {} experts for {} exponents", logits.size(), priors_.size()));
  int64_t rows = logits[0].size(0), half = rows / 2, classes = logits[0].size(1);
  if (rows % 2 != 0) throw ShapeError(fmt::format("mdcs: {} rows; weak and strong views come in pairs", rows));
  check_labels(labels, half, classes);
  Tensor both = cat({labels, labels});
  MdcsTerms terms;
  terms.diversity = diversity_loss(logits, both, priors_);
  terms.loss = terms.diversity;
  if (options_.alpha == 0) return terms;
  double teaching = 0;
  for (size_t e = 0; e < logits.size(); ++e) {
    Tensor adjusted = logits[e] + to(priors_[e], logits[e].dtype());
    Tensor weak = narrow(adjusted, 0, 0, half), strong = narrow(adjusted, 0, half, half);
    Tensor term = confident_self_distill(weak, strong, labels, options_.temperature, options_.confident_only);
    terms.consistency = terms.consistency.defined() ? terms.consistency + term : term;
    teaching += options_.confident_only ? static_cast<double>(teachers(weak, labels).numel()) : static_cast<double>(half);
  }
  terms.confident = half > 0 ? teaching / static_cast<double>(half * static_cast<int64_t>(logits.size())) : 0;
  terms.loss = terms.diversity + terms.consistency * weight(epoch);
  return terms;
}

Tensor ride_loss(const std::vector<Tensor>& logits, const Tensor& labels, double weight) {
  check_experts(logits);
  Tensor middle;
  {
    NoGrad no_grad;
    Tensor total = logits[0].detach();
    for (size_t e = 1; e < logits.size(); ++e) total = total + logits[e].detach();
    middle = log_softmax(total / static_cast<double>(logits.size()), 1);
  }
  Tensor loss;
  for (const Tensor& v : logits) {
    Tensor one = cross_entropy(v, labels) - kl_div(v, middle, {.logits = true, .log_target = true}) * weight;
    loss = loss.defined() ? loss + one : one;
  }
  return loss;
}

double expert_diversity(const std::vector<Tensor>& logits) {
  check_experts(logits);
  NoGrad no_grad;
  double total = 0, pairs = 0;
  for (size_t e = 0; e < logits.size(); ++e)
    for (size_t f = 0; f < logits.size(); ++f) {
      if (e == f) continue;
      Tensor of = log_softmax(logits[e], 1);
      total += kl_div(logits[f], of, {.logits = true, .log_target = true}).item();
      ++pairs;
    }
  return pairs > 0 ? total / pairs : 0;
}

}  // namespace plumb::methods::mdcs
