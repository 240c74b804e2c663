// The comparison that both experiments make: ways of unlearning a part of what a GAN draws, from the same pair, feedback and budget.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "methods/experiment.h"
#include "methods/generative/adapt_then_unlearn/adapt_then_unlearn.h"
#include "models/gan/mlp_gan.h"
#include "models/metrics/frechet.h"

namespace plumb::methods::adapt_then_unlearn {

using Pair = TrainedGan<gan::MlpGan>;

struct Problem {
  std::string name;  ///< of what the variants of a seed share
  gan::MlpGanConfig config;
  GanRecipe recipe;
  std::function<Tensor(int64_t n)> real;             ///< draws real examples of all kinds
  std::function<Tensor(int64_t n)> real_without;     ///< without the undesired ones
  std::function<Tensor(const Tensor& x)> undesired;  ///< the user's answers, bool [n]
  std::function<Tensor(const Tensor& x)> features;   ///< in which Fréchet distances are taken
  metrics::FeatureStatistics without;                ///< of real examples without the undesired ones
};

struct Budgets {
  int64_t pretrain, adapt, unlearn, anchors, samples, final_samples;
};

struct Compared {
  double pul, area, steps_to_90;         ///< area: the mean of PUL over the steps of stage 2, by trapezoids
  double frechet, frechet_to_retrained;  ///< to real examples without the undesired ones; to samples of a pair trained on those alone
  Tensor samples;
};

/// The variants of both experiments, in order; the last is the method, the first the baseline.
std::vector<Variant> variants();
/// What a variant that trains does in stage 2.
UnlearningOptions options_of(const std::string& variant, int64_t steps);

/// Trains from nothing.
Pair trained_pair(Cell& cell, const gan::MlpGanConfig& config, const GanRecipe& recipe, const std::function<Tensor(int64_t n)>& real,
                  int64_t steps);
/// The cell's variant on one problem. `original` was trained on all; progress is reported between `from` and `to`.
Compared compared(Cell& cell, const Problem& problem, const Pair& original, const Budgets& budgets, double from, double to);

}  // namespace plumb::methods::adapt_then_unlearn
