// Adapt-then-Unlearn (Tiwary et al., TMLR 2025): makes a trained GAN stop drawing what a user marks, without the data it was trained on.
// The direction in which its weights go when it is adapted to the marked samples is the one to keep away from.
#pragma once
#include <string>
#include <vector>

#include "methods/common/anchor.h"
#include "methods/common/repulsion.h"
#include "methods/generative/adapt_then_unlearn/gan_run.h"
#include "ops/pointwise.h"

namespace plumb::methods::adapt_then_unlearn {

/// Generated samples as a user's answers divide them.
struct Feedback {
  Tensor negative, positive;  ///< with the undesired feature, and without
};
/// `undesired` bool [n] for samples [n, ..]. Throws ValueError if one of the two sets is empty, ShapeError if they do not fit.
Feedback feedback(const Tensor& samples, const Tensor& undesired);

/// n samples of a generator, 500 at a time. Nothing is recorded.
Tensor generated(gan::Gan& pair, int64_t n, Generator& random = default_generator());

/// F = mean_i (∂D(G(z_i; θ))/∂θ)² over n latents, one at a time, for the generator's parameters; θ₀ are its weights now.
FisherDiagonal generator_fisher(gan::Gan& pair, int64_t latents, Generator& random = default_generator());

/// θ + s (θ − mean_k θ_k): away from what was adapted, without any training. New tensors. Throws as repulsion_loss.
std::vector<Tensor> extrapolated(const std::vector<Tensor>& original, const std::vector<std::vector<Tensor>>& adapted, double s);

/// Percentage of unlearning, 100 (n_before − n_after)/n_before, of samples counted as negative among equally many. Throws ValueError if
/// there were none before, or for negative counts.
double percentage_of_unlearning(int64_t before, int64_t after);

// -- stage 1 ------------------------------------------------------------------------------------------------

struct AdaptationOptions {
  int64_t steps = 400, batch = 64;
  double lambda = 1e3;  ///< of (λ/2) Σ_j F_j (θ_j − θ_G,j)²: without it the pair collapses to a few samples
  int64_t fisher_latents = 256;
};
/// Throws ValueError for an empty set of negatives or options out of range.
void check(const AdaptationOptions& options, const Tensor& negatives);

/// Training goes on from the original with `negatives` [n, ..] in the place of data. The averaged weights of its generator are an anchor
/// θ_N.
template <typename Model>
TrainedGan<Model> adapt_to_negatives(const TrainedGan<Model>& original, const Tensor& negatives, const GanRecipe& recipe,
                                     const AdaptationOptions& options, Generator& random = default_generator());

// -- stage 2 ------------------------------------------------------------------------------------------------

struct UnlearningOptions {
  int64_t steps = 800, batch = 64;
  double gamma = 1;            ///< weight of the repulsion; 0: plain fine-tuning, bit for bit
  RepulsionOptions repulsion;  ///< its scale is that at the start if `relative`
  bool relative = true;        ///< squared distances are measured in their mean at the start, mean_k ‖θ_G − θ_N^k‖²
  // For comparisons, in the place of repulsion:
  double lambda = 0;        ///< elastic weights: (λ/2) Σ_j F_j (θ_j − θ_G,j)²
  double pull = 0;          ///< pull · Σ_j (θ_j − θ_G,j)²
  int64_t last_layers = 0;  ///< only the generator's last layers learn (CF-k); 0: all
  int64_t fisher_latents = 256;
};
/// Throws ValueError for an empty set of positives, no anchors with gamma > 0, or options out of range.
void check(const UnlearningOptions& options, const Tensor& positives, size_t anchors);

/// Training goes on from the original, its optimisers' moments included, with `positives` [n, ..] in the place of data and γ L_rep in the
/// generator's loss. after_step(k, average) is called after every step with the averaged pair.
template <typename Model>
TrainedGan<Model> unlearn(const TrainedGan<Model>& original, const Tensor& positives, const std::vector<std::vector<Tensor>>& adapted,
                          const GanRecipe& recipe, const UnlearningOptions& options,
                          const std::function<void(int64_t step, Model& average)>& after_step = {},
                          Generator& random = default_generator());

// -- how it is done -------------------------------------------------------------------------------------------

namespace detail {
/// Rows of a set, drawn with replacement.
Tensor draw(const Tensor& set, int64_t n, Generator& random);
/// Of all parameters but those of the last `layers` weights and what follows each: those that stand still.
std::vector<Tensor> all_but_last_layers(const nn::Module& network, int64_t layers);
}  // namespace detail

template <typename Model>
TrainedGan<Model> adapt_to_negatives(const TrainedGan<Model>& original, const Tensor& negatives, const GanRecipe& recipe,
                                     const AdaptationOptions& o, Generator& random) {
  check(o, negatives);
  GanRun<Model> run(
      original, recipe, [&](int64_t) { return detail::draw(negatives, o.batch, random); }, random);
  QuadraticAnchor elastic(run.pair().generator().named_parameters(), generator_fisher(run.pair(), o.fisher_latents, random), o.lambda / 2);
  if (o.lambda > 0) run.add_generator_loss([&] { return elastic.penalty(); });
  for (int64_t k = 0; k < o.steps; ++k) run.step(k);
  return run.result();
}

template <typename Model>
TrainedGan<Model> unlearn(const TrainedGan<Model>& original, const Tensor& positives, const std::vector<std::vector<Tensor>>& adapted,
                          const GanRecipe& recipe, const UnlearningOptions& o,
                          const std::function<void(int64_t step, Model& average)>& after_step, Generator& random) {
  check(o, positives, adapted.size());
  GanRun<Model> run(
      original, recipe, [&](int64_t) { return detail::draw(positives, o.batch, random); }, random);
  nn::Module& generator = run.pair().generator();
  std::vector<Tensor> parameters = generator.parameters();
  RepulsionOptions repulsion = o.repulsion;
  if (o.gamma > 0) {
    if (o.relative) {
      double at_start = 0;
      for (double d : to_vector(squared_distances(parameters, adapted))) at_start += d / static_cast<double>(adapted.size());
      repulsion.scale = at_start;
    }
    run.add_generator_loss([&] { return repulsion_loss(parameters, adapted, repulsion) * o.gamma; });
  }
  QuadraticAnchor elastic, pull;
  if (o.lambda > 0) {
    elastic = QuadraticAnchor(generator.named_parameters(), generator_fisher(run.pair(), o.fisher_latents, random), o.lambda / 2);
    run.add_generator_loss([&] { return elastic.penalty(); });
  }
  if (o.pull > 0) {
    pull = QuadraticAnchor::to_current(generator.named_parameters(), o.pull);
    run.add_generator_loss([&] { return pull.penalty(); });
  }
  if (o.last_layers > 0) {
    std::vector<Tensor> still = detail::all_but_last_layers(generator, o.last_layers);
    run.generator_optimizer().add_transform([still](const std::vector<Tensor>& p, std::vector<Tensor>& gradients) {
      for (size_t i = 0; i < p.size(); ++i)
        for (const Tensor& s : still)
          if (s.same_as(p[i])) gradients[i] = {};
    });
  }
  for (int64_t k = 0; k < o.steps; ++k) {
    run.step(k);
    if (after_step) after_step(k, run.average());
  }
  return run.result();
}

}  // namespace plumb::methods::adapt_then_unlearn
