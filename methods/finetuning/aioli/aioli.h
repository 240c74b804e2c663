// Aioli: A Unified Optimization Framework for Language Model Data Mixing (Chen, Hu et al., ICLR 2025): proportions of data groups by a
// linear law of the losses, whose parameters are estimated from the training run itself.
//
//   L_i(t+1) = L_i(t) − Σ_j A_ij p_j,     p_j ← p_j exp(η Σ_i A_ij) / Σ
//
//   data_mixing::LanguageLearner learner(texts, model, {.steps = 600});
//   aioli::Aioli policy({.eta = 0.2, .rho = 0.5});
//   data_mixing::train_mixed(learner, policy, {.steps = 600, .round = 100});
#pragma once
#include <optional>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"
#include "models/data_mixing/loop.h"

namespace plumb::methods::aioli {

using data_mixing::Shares;

struct AioliOptions {
  double eta = 0.2;    ///< η
  double rho = 0.625;  ///< share of the group in turn while the law is estimated, the others have (1 − ρ)/(k − 1) each; 1: alone
  int64_t law_rounds = 4, law_steps = 4;  ///< the estimate costs law_rounds · law_steps · k steps of each round
  std::optional<double> ema;  ///< smooths the law's matrix and starts each choice anew from the first weights: another algorithm
  bool diagonal = false;      ///< A_ii = B_ii / ρ alone, 0 elsewhere
  Shares start;       ///< the weights before the first choice; empty: all the same, as in the official code, also after a prior phase
  uint64_t seed = 0;  ///< of the order of groups
};

/// A [k, k] with Q a_i = b_i for each row: Q[m] the shares while group m was in turn (ρ for it). ρ = 1 gives A = B; `diagonal` A_ii = B_ii
/// / ρ alone. B [k, k], B[i][m] the drop of group i's loss while group m was in turn. Throws ShapeError unless B is square, ValueError for
/// k < 2, ρ outside (0, 1], or ρ = 1/k, where Q has no inverse.
Tensor solve_smoothed_mixture(const Tensor& drops, double rho, bool diagonal = false);

/// If its smallest entry is negative, A less that entry; divided by the sum of all. Zeros if that sum is 0: nothing is to be changed.
Tensor normalize_law_matrix(const Tensor& law);

/// Σ_i A_ij: how much a unit of group j takes off all losses together.
Shares column_sums(const Tensor& law);

struct LearnedLaw {
  Tensor law;     ///< A, before normalisation
  Shares losses;  ///< after the last of its steps
};
/// Estimates A by law_rounds · law_steps · k real training steps of `learner`, whose validation losses are `losses`: in each of law_rounds
/// random orders, law_steps steps with each group in turn.
LearnedLaw learn_parameters(data_mixing::Learner& learner, const Shares& losses, const AioliOptions& options, Generator& generator);

/// Without `ema`, weights are multiplied round by round, w ← w exp(η colsum A), and can grow without bound; with it, w = w₀ exp(η colsum
/// E), E = (1 − ema) A + ema E, and no share can become more than e^η times another's beyond w₀.
class Aioli : public data_mixing::MixingPolicy {
 public:
  explicit Aioli(AioliOptions options = {}) : options_(std::move(options)), generator_(options_.seed) {}

  /// Throws ValueError for what solve_smoothed_mixture refuses, η or ema out of range, sizes below 1, weights to start with that are
  /// negative, all 0 or of another number, an estimate that takes a whole round or more, and a batch too small for its shares.
  void check(const data_mixing::Learner& learner, const data_mixing::LoopOptions& loop) const override;
  Shares proportions(data_mixing::Learner& learner, const data_mixing::RoundStart& round) override;
  /// The choice for a known A: what proportions() makes of each estimate.
  Shares choose(const Tensor& law);

  /// A of every round, before normalisation.
  const std::vector<Tensor>& laws() const { return laws_; }

 private:
  AioliOptions options_;
  Generator generator_;
  Shares weights_;
  Tensor smoothed_;
  std::vector<Tensor> laws_;
};

/// Pearson's correlation, over groups and rounds, of A p with the drops of the losses in the rest of each round. NaN if one of them does
/// not vary.
double law_fidelity(const std::vector<Tensor>& laws, const data_mixing::MixingRun& run);

}  // namespace plumb::methods::aioli
