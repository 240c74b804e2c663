// Steps of a language model on batches of several texts.
#include "models/data_mixing/language_learner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "models/optim/clip.h"
#include "models/optim/schedule.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::data_mixing {
namespace {

using transformer::Gpt;

constexpr int64_t kEvaluated = 64;  // windows at once

// Windows of a training text, which do not overlap.
int64_t window_count(const data::TokenStream& text, int64_t context) {
  data::check_context(text, context);
  return (text.size() - 1) / context;
}

std::vector<int64_t> pool_sizes(const GroupTexts& texts, int64_t context) {
  std::vector<int64_t> out;
  for (const GroupText& t : texts) out.push_back(window_count(t.train, context));
  return out;
}

const GroupTexts& checked(const std::shared_ptr<const GroupTexts>& texts, const Gpt& start, const LanguageLearnerOptions& o) {
  if (!texts || texts->empty()) throw ValueError("language learner: there are no texts");
  if (o.batch < 1 || o.steps < 1 || o.validation_windows < 1 || o.warmup < 0)
    throw ValueError(
        fmt::format("language learner: batch, steps and validation windows must be at least 1 and warm-up 0, they are {}, {}, {} and {}",
                    o.batch, o.steps, o.validation_windows, o.warmup));
  if (!(o.clip > 0)) throw ValueError(fmt::format("language learner: the norm to clip at must be positive, it is {}", o.clip));
  for (const GroupText& t : *texts)
    for (const data::TokenStream& part : {t.train, t.validation, t.test}) {
      data::check_context(part, start.config().context);
      for (int64_t i = 0; i < part.size(); ++i)
        if (part[i] >= start.config().vocab)
          throw ValueError(
              fmt::format("language learner: {} has token {}, the model's vocabulary is {}", t.name, part[i], start.config().vocab));
    }
  return *texts;
}

// Tokens and the next tokens of windows that begin at `places`.
std::pair<Tensor, Tensor> read_windows(const data::TokenStream& text, const std::vector<int64_t>& places, int64_t context) {
  auto count = static_cast<int64_t>(places.size());
  std::vector<int64_t> all(static_cast<size_t>(count * (context + 1)));
  for (int64_t n = 0; n < count; ++n) text.read(places[static_cast<size_t>(n)], context + 1, all.data() + n * (context + 1));
  Tensor both = from_vector(all, {count, context + 1});
  return {narrow(both, 1, 0, context), narrow(both, 1, 1, context)};
}

// The mean loss of each row.
Tensor row_losses(const Gpt& model, const Tensor& tokens, const Tensor& target) {
  return mean(cross_entropy(model(tokens), target, {.reduction = Reduction::none}), {1});
}

// The norm of the gradients after all were scaled to at most 1.
double clip(std::vector<Tensor>& gradients) {
  double squares = 0;
  for (const Tensor& g : gradients) squares += sum(g * g).item();
  double norm = std::sqrt(squares);
  if (norm <= 1) return norm;
  for (Tensor& g : gradients) g = g * (1 / norm);
  return 1;
}

double inner(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double total = 0;
  for (size_t i = 0; i < a.size(); ++i) total += sum(a[i] * b[i]).item();
  return total;
}

}  // namespace

double text_loss(const Gpt& model, const data::TokenStream& text, int64_t windows) {
  NoGrad no_grad;
  int64_t context = model.config().context, all = window_count(text, context), count = std::min(windows, all);
  double total = 0;
  for (int64_t from = 0; from < count; from += kEvaluated) {
    std::vector<int64_t> places;
    for (int64_t n = from; n < std::min(count, from + kEvaluated); ++n) places.push_back(n * all / count * context);
    auto [tokens, target] = read_windows(text, places, context);
    total += sum(row_losses(model, tokens, target)).item();
  }
  return total / static_cast<double>(count);
}

Shares per_group_loss(const Gpt& model, const GroupTexts& texts, int64_t windows, bool test) {
  Gpt evaluated = model;
  evaluated.eval();
  Shares out;
  for (const GroupText& t : texts) out.push_back(text_loss(evaluated, test ? t.test : t.validation, windows));
  return out;
}

LanguageLearner::LanguageLearner(std::shared_ptr<const GroupTexts> texts, std::shared_ptr<const Gpt> start,
                                 const LanguageLearnerOptions& options)
    : texts_(std::move(texts)),
      start_(std::move(start)),
      options_(options),
      model_(*start_),
      adam_(model_.parameters(), options.adam),
      sampler_(pool_sizes(checked(texts_, *start_, options), start_->config().context), Generator(options.seed)) {}

double LanguageLearner::learning_rate(int64_t step) const {
  int64_t warmup = std::min(options_.warmup, options_.steps / 4);
  return options_.adam.lr * optim::cosine_with_warmup(warmup, options_.steps)(step);
}

LanguageLearner::Windows LanguageLearner::windows_of(const std::vector<data::MixturePick>& picks) const {
  int64_t context = start_->config().context, row = context + 1;
  std::vector<int64_t> all(picks.size() * static_cast<size_t>(row));
  for (size_t n = 0; n < picks.size(); ++n)
    (*texts_)[static_cast<size_t>(picks[n].group)].train.read(picks[n].index * context, row, all.data() + static_cast<int64_t>(n) * row);
  Tensor both = from_vector(all, {static_cast<int64_t>(picks.size()), row});
  return {narrow(both, 1, 0, context), narrow(both, 1, 1, context)};
}

void LanguageLearner::update() {
  if (steps_ >= options_.steps) throw ValueError(fmt::format("language learner: all of the {} planned steps are made", options_.steps));
  optim::clip_grad_norm(adam_.parameters(), options_.clip);
  adam_.set_lr_scale(learning_rate(steps_) / options_.adam.lr);
  adam_.step();
  ++steps_;
}

void LanguageLearner::descend(const Windows& windows) {
  adam_.zero_grad();
  mean(row_losses(model_, windows.tokens, windows.target)).backward();
  update();
}

void LanguageLearner::step(const Shares& p) {
  sampler_.set_proportions(p);
  descend(windows_of(sampler_.next_batch(options_.batch)));
}

void LanguageLearner::step_exact(const std::vector<int64_t>& counts) { descend(windows_of(sampler_.exact_batch(counts))); }

Shares LanguageLearner::validation_losses() const { return per_group_loss(model_, *texts_, options_.validation_windows); }

std::unique_ptr<Learner> LanguageLearner::fresh(int64_t steps, uint64_t stream) const {
  LanguageLearnerOptions o = options_;
  o.steps = steps;
  o.seed = options_.seed ^ (stream * 0x9E3779B97F4A7C15u);
  return std::make_unique<LanguageLearner>(texts_, start_, o);
}

std::vector<data::MixturePick> LanguageLearner::balanced_batch() {
  int64_t each = std::max<int64_t>(1, options_.batch / groups());
  return sampler_.exact_batch(std::vector<int64_t>(static_cast<size_t>(groups()), each));
}

void LanguageLearner::step_weighted(const Learner* reference, const LossWeights& weights) {
  Windows windows = windows_of(balanced_batch());
  auto by_group = [&](const Gpt& model) { return mean(reshape(row_losses(model, windows.tokens, windows.target), {groups(), -1}), {1}); };
  Shares of_reference(static_cast<size_t>(groups()), 0);
  if (reference) {
    auto* other = dynamic_cast<const LanguageLearner*>(reference);
    if (!other) throw ValueError("language learner: the reference is no language learner");
    NoGrad no_grad;
    of_reference = to_vector(by_group(other->model_));
  }
  Tensor losses = by_group(model_);
  Tensor weight = to(from_vector(weights(to_vector(losses.detach()), of_reference)), losses.dtype());
  adam_.zero_grad();
  sum(losses * weight).backward();
  update();
}

void LanguageLearner::step_aligned(const AlignmentWeights& weights) {
  std::vector<Tensor> parameters = model_.parameters();
  auto gradients_of = [&](const std::vector<data::MixturePick>& picks) {
    Windows windows = windows_of(picks);
    return grad({mean(row_losses(model_, windows.tokens, windows.target))}, parameters);
  };
  std::vector<data::MixturePick> batch = balanced_batch();
  std::vector<Tensor> mixed = gradients_of(balanced_batch());
  clip(mixed);
  Alignment alignment{.learning_rate = learning_rate(steps_)};
  std::vector<std::vector<Tensor>> of_group;
  auto each = static_cast<int64_t>(batch.size()) / groups();
  for (int64_t j = 0; j < groups(); ++j) {
    of_group.push_back(gradients_of({batch.begin() + j * each, batch.begin() + (j + 1) * each}));
    alignment.norm.push_back(clip(of_group.back()));
    alignment.inner.push_back(inner(of_group.back(), mixed));
  }
  Shares weight = weights(alignment);
  for (size_t i = 0; i < parameters.size(); ++i) {
    Tensor total = of_group[0][i] * weight.at(0);
    for (size_t j = 1; j < of_group.size(); ++j) total = total + of_group[j][i] * weight.at(j);
    parameters[i].set_grad(total);
  }
  update();
}

}  // namespace plumb::data_mixing
