// UDA: annealed cross-entropy, consistency under strong augmentation, and which unlabelled examples to use.
#include "methods/semi_supervised/uda/uda.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::uda {
namespace {

void check(const ConsistencyOptions& o) {
  if (!(o.tau > 0)) throw ValueError(fmt::format("uda: the temperature must be positive, it is {}", o.tau));
  if (!(o.beta < 1)) throw ValueError(fmt::format("uda: the confidence threshold must be below 1, it is {}", o.beta));
}

void check(const UdaOptions& o) {
  check(o.consistency);
  if (!(o.lambda >= 0 && o.entropy >= 0))
    throw ValueError(fmt::format("uda: weights must not be negative: lambda {}, entropy {}", o.lambda, o.entropy));
  if (o.annealing != Annealing::none && o.steps < 1)
    throw ValueError(fmt::format("uda: annealing needs the number of steps, it is {}", o.steps));
}

void check_logits(const char* name, const Tensor& logits) {
  if (logits.rank() != 2) throw ShapeError(fmt::format("{}: takes logits [N, classes], got {}", name, to_string(logits.shape())));
}

}  // namespace

const std::vector<std::string>& words_of(Annealing) {
  static const std::vector<std::string> words{"none", "linear", "log", "exp"};
  return words;
}

Annealing annealing_named(const std::string& word) {
  const auto& words = words_of(Annealing{});
  auto at = std::ranges::find(words, word);
  if (at == words.end()) throw ValueError(fmt::format("uda: unknown annealing \"{}\": none, linear, log or exp", word));
  return static_cast<Annealing>(at - words.begin());
}

double tsa_threshold(Annealing annealing, int64_t step, int64_t total, int64_t classes) {
  if (total < 1) throw ValueError(fmt::format("tsa_threshold: training of {} steps", total));
  if (step < 0 || step > total) throw ValueError(fmt::format("tsa_threshold: step {} is outside [0, {}]", step, total));
  if (classes < 1) throw ValueError(fmt::format("tsa_threshold: {} classes", classes));
  double r = static_cast<double>(step) / static_cast<double>(total), least = 1 / static_cast<double>(classes);
  switch (annealing) {
    case Annealing::linear:
      return r * (1 - least) + least;
    case Annealing::log:
      return (1 - std::exp(-5 * r)) * (1 - least) + least;
    case Annealing::exp:
      return std::exp(5 * (r - 1)) * (1 - least) + least;
    default:
      return 1;
  }
}

TsaLoss tsa_loss(const Tensor& logits, const Tensor& labels, double eta) {
  check_logits("tsa_loss", logits);
  Tensor each = cross_entropy(logits, labels, {.reduction = Reduction::none}), mask;
  {
    NoGrad no_grad;
    Tensor own = squeeze(gather(softmax(logits.detach(), 1), 1, unsqueeze(labels, 1)), 1);
    mask = to(own <= eta, logits.dtype());
  }
  double kept = sum(mask).item();
  return {sum(mask * each) / std::max(1.0, kept), kept / static_cast<double>(std::max<int64_t>(1, labels.numel()))};
}

Consistency uda_consistency(const Tensor& clean, const Tensor& augmented, const ConsistencyOptions& o) {
  check(o);
  if (clean.rank() != 2 || clean.shape() != augmented.shape())
    throw ShapeError(fmt::format("uda: clean logits {} and augmented logits {}", to_string(clean.shape()), to_string(augmented.shape())));
  Tensor log_target, target, mask;
  {
    NoGrad no_grad;
    Tensor z = clean.detach();
    log_target = log_softmax(z, 1, o.tau);
    target = exp(log_target);
    mask = o.beta < 0 ? ones({z.size(0)}, z.dtype()) : confidence_mask(softmax(z, 1), o.beta, /*strict=*/true);
  }
  auto rows = static_cast<double>(std::max<int64_t>(1, clean.size(0)));
  Tensor kl = sum(target * (log_target - log_softmax(augmented, 1)), {1});
  return {sum(mask * kl) / rows, mask, sum(mask).item() / rows};
}

Tensor mean_entropy(const Tensor& logits) {
  check_logits("mean_entropy", logits);
  Tensor log_p = log_softmax(logits, 1);
  return -mean(sum(exp(log_p) * log_p, {1}));
}

optim::Schedule uda_schedule(int64_t total, int64_t warmup) {
  if (warmup < 0 || warmup >= total) throw ValueError(fmt::format("uda_schedule: a warm-up of {} steps in {}", warmup, total));
  if (warmup == 0) return optim::cosine_7_16(total);
  return optim::sequence({{warmup, optim::linear(warmup, 0, 1)}, {total - warmup, optim::cosine_7_16(total - warmup)}});
}

augment::View strong_then_weak(augment::View strong, augment::View weak) {
  return [strong = std::move(strong), weak = std::move(weak)](const Tensor& images, Generator& g) { return weak(strong(images, g), g); };
}

Tensor in_domain(const Tensor& probabilities, int64_t per_class) {
  if (per_class < 1) throw ValueError(fmt::format("in_domain: {} examples a class", per_class));
  PseudoLabels labels = pseudo_labels(probabilities);
  auto label = to_vector<int64_t>(labels.label);
  auto confidence = to_vector(labels.confidence);
  std::vector<int64_t> order(label.size()), kept, taken(static_cast<size_t>(probabilities.size(1)));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::ranges::stable_sort(order,
                           [&](int64_t a, int64_t b) { return confidence[static_cast<size_t>(a)] > confidence[static_cast<size_t>(b)]; });
  for (int64_t i : order)
    if (taken[static_cast<size_t>(label[static_cast<size_t>(i)])]++ < per_class) kept.push_back(i);
  std::ranges::sort(kept);
  return from_vector(kept);
}

UdaTerms uda_loss(const SemiParts& logits, const Tensor& labels, int64_t step, const UdaOptions& o) {
  check(o);
  if (logits.strong.empty()) throw ShapeError("uda: there is no augmented copy of the unlabelled examples");
  UdaTerms t;
  if (o.annealing == Annealing::none) {
    t.supervised = cross_entropy(logits.labelled, labels);
  } else {
    TsaLoss annealed = tsa_loss(logits.labelled, labels, tsa_threshold(o.annealing, step, o.steps, logits.labelled.size(1)));
    t.supervised = annealed.loss;
    t.kept_ratio = annealed.kept_ratio;
  }
  for (const Tensor& strong : logits.strong) {
    Consistency c = uda_consistency(logits.weak, strong, o.consistency);
    t.consistency = t.consistency.defined() ? t.consistency + c.loss : c.loss;
    t.mask = c.mask;
    t.mask_ratio = c.mask_ratio;
  }
  if (logits.strong.size() > 1) t.consistency = t.consistency / static_cast<double>(logits.strong.size());
  t.total = o.lambda == 0 ? t.supervised : t.supervised + o.lambda * t.consistency;
  if (o.entropy > 0) {
    t.entropy = mean_entropy(logits.weak);
    t.total = t.total + o.entropy * t.entropy;
  }
  return t;
}

Uda::Uda(const UdaOptions& options) : options_(options) { check(options); }

SemiStep Uda::from_logits(const SemiParts& logits, const SemiBatch& batch, int64_t step) {
  terms_ = uda_loss(logits, batch.labels, step, options_);
  NoGrad no_grad;
  return {terms_.total, terms_.mask, argmax(logits.weak.detach(), 1), terms_.mask_ratio};
}

SemiTrainOptions uda_training(int64_t steps) { return {.steps = steps, .decay_vectors = true, .buffers = optim::EmaBuffers::average}; }

}  // namespace plumb::methods::uda
