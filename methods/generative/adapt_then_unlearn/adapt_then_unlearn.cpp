// Feedback, the generator's Fisher information, arithmetic of weights, and what is checked before training.
#include "methods/generative/adapt_then_unlearn/adapt_then_unlearn.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "models/optim/parameters.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::adapt_then_unlearn {

optim::AdamOptions GanRecipe::generator() const {
  if (losses.path_length <= 0) return {.lr = lr, .beta1 = beta1, .beta2 = beta2};
  auto rates = gan::lazy_rates({lr, beta1, beta2}, losses.path_every);
  return {.lr = rates.lr, .beta1 = rates.beta1, .beta2 = rates.beta2};
}

optim::AdamOptions GanRecipe::discriminator() const {
  if (losses.r1 <= 0) return {.lr = lr, .beta1 = beta1, .beta2 = beta2};
  auto rates = gan::lazy_rates({lr, beta1, beta2}, losses.r1_every);
  return {.lr = rates.lr, .beta1 = rates.beta1, .beta2 = rates.beta2};
}

optim::OptimizerState copied(const optim::OptimizerState& state) {
  NoGrad off;
  optim::OptimizerState result{.scalars = state.scalars};
  for (const auto& [name, tensor] : state.tensors) result.tensors[name] = clone(tensor);
  return result;
}

Feedback feedback(const Tensor& samples, const Tensor& undesired) {
  if (undesired.shape() != Shape{samples.size(0)} || undesired.dtype() != boolean)
    throw ShapeError(fmt::format("feedback: answers are {} for samples {}", to_string(undesired.shape()), to_string(samples.shape())));
  Tensor negative = flatten(nonzero(undesired)), positive = flatten(nonzero(logical_not(undesired)));
  if (negative.numel() == 0) throw ValueError(fmt::format("feedback: none of {} samples is negative; draw more", samples.size(0)));
  if (positive.numel() == 0) throw ValueError(fmt::format("feedback: none of {} samples is positive; draw more", samples.size(0)));
  return {index_select(samples, 0, negative), index_select(samples, 0, positive)};
}

Tensor generated(gan::Gan& pair, int64_t n, Generator& random) {
  NoGrad off;
  std::vector<Tensor> parts;
  Tensor like = pair.parameters()[0];
  for (int64_t i = 0; i < n; i += 500)
    parts.push_back(pair.generate(
        randn({std::min<int64_t>(500, n - i), pair.latent()}, {.dtype = like.dtype(), .device = like.device(), .generator = &random}),
        random));
  return cat(parts, 0);
}

FisherDiagonal generator_fisher(gan::Gan& pair, int64_t latents, Generator& random) {
  if (latents < 1) throw ValueError(fmt::format("generator_fisher: latents must be at least 1, they are {}", latents));
  GradMode on(true);
  Tensor like = pair.parameters()[0];
  FisherAccumulator fisher(pair.generator().named_parameters());
  for (int64_t i = 0; i < latents; ++i) {
    Tensor z = randn({1, pair.latent()}, {.dtype = like.dtype(), .device = like.device(), .generator = &random});
    fisher.add(sum(pair.judge(pair.generate(z, random))));
  }
  return fisher.diagonal();
}

std::vector<Tensor> extrapolated(const std::vector<Tensor>& original, const std::vector<std::vector<Tensor>>& adapted, double s) {
  squared_distances(original, adapted);  // for its checks
  NoGrad off;
  std::vector<Tensor> result = optim::clone(original);
  double share = s / static_cast<double>(adapted.size());
  optim::axpy(s, original, result);
  for (const std::vector<Tensor>& anchor : adapted) optim::axpy(-share, anchor, result);
  return result;
}

double percentage_of_unlearning(int64_t before, int64_t after) {
  if (before < 1 || after < 0)
    throw ValueError(
        fmt::format("percentage_of_unlearning: {} negative samples before and {} after; there must be some before", before, after));
  return 100.0 * static_cast<double>(before - after) / static_cast<double>(before);
}

void check(const AdaptationOptions& o, const Tensor& negatives) {
  if (negatives.numel() == 0) throw ValueError("adapt_to_negatives: the set of negative samples is empty");
  if (o.steps < 0 || o.batch < 1 || !(o.lambda >= 0))
    throw ValueError(fmt::format("adapt_to_negatives: {} steps of {} samples with lambda {} cannot be", o.steps, o.batch, o.lambda));
}

void check(const UnlearningOptions& o, const Tensor& positives, size_t anchors) {
  if (positives.numel() == 0) throw ValueError("unlearn: the set of positive samples is empty");
  if (!(o.gamma >= 0 && o.lambda >= 0 && o.pull >= 0))
    throw ValueError(fmt::format("unlearn: weights must not be negative, gamma is {}, lambda {}, pull {}", o.gamma, o.lambda, o.pull));
  if (o.steps < 0 || o.batch < 1 || o.last_layers < 0)
    throw ValueError(fmt::format("unlearn: {} steps of {} samples with {} last layers cannot be", o.steps, o.batch, o.last_layers));
  if (o.gamma > 0 && anchors == 0) throw ValueError("unlearn: there is no adapted generator to be repelled from (K = 0)");
}

namespace detail {

Tensor draw(const Tensor& set, int64_t n, Generator& random) {
  Tensor places = randint(0, set.size(0), {n}, {.dtype = i64, .generator = &random});
  return index_select(set, 0, to(places, set.device()));
}

std::vector<Tensor> all_but_last_layers(const nn::Module& network, int64_t layers) {
  std::vector<Tensor> still = network.parameters();
  for (int64_t left = layers; left > 0 && !still.empty();) {
    left -= still.back().rank() >= 2 ? 1 : 0;  // a bias follows its weight
    still.pop_back();
  }
  return still;
}

}  // namespace detail

}  // namespace plumb::methods::adapt_then_unlearn
