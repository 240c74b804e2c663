// Cases whose inconsistency is known.
#pragma once
#include "methods/fairness/linco/judges.h"

namespace plumb::methods::linco {

struct SyntheticOptions {
  int64_t groups = 3;
  double beta = 0.1;  ///< strength of the group's own rule
  double noise = 0.3;
  int64_t factors = 20;
  int64_t train = 4000, evaluation = 1000;
  double rate = 0.3;                ///< P(x_j = 1)
  bool interaction = false;         ///< groups weigh the first factor differently, instead of everything
  std::vector<double> shares = {};  ///< of the groups among cases; empty: equal
  double start = 3;                 ///< b_0: log terms are about this
};

struct SyntheticJudgments {
  JudgmentDataset train, evaluation;
  double truth = 0;  ///< β · std(s), s equally spaced in [−1, 1]; times P(x_1 = 1) with interaction
};

/// x ∈ {0, 1}^d, η(x) = b_0 + w · x + xᵀ U x with w ~ N(0, 0.3²) and U ~ N(0, 0.05²) above the diagonal, log(1 + y) = max(0, η + β s_a +
/// noise N(0, 1)), with interaction η + β s_a x_1. Everything from `seed`. Throws ValueError for what is out of range.
SyntheticJudgments make_synthetic(const SyntheticOptions& options, uint64_t seed);

}  // namespace plumb::methods::linco
