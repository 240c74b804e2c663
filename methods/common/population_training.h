// Training many small models at once, each on a subset of the same examples: what data attribution and unlearning are measured by.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "models/mlp/population.h"

namespace plumb::methods {

struct PopulationTraining {
  int64_t steps = 300;
  double lr = 0.1, momentum = 0.9, weight_decay = 1e-3;
  int64_t together = 16;  ///< members in one pass: as many as the caches hold
  std::function<void(double share)> progress = {};
};

/// Full-batch SGD of every member p on the cross-entropy of its own examples, those i with masks[p, i] (bool [P, n]):
///   L_p = Σ_{i ∈ S_p} CE(f_p(x_i), y_i) / |S_p|
/// x [n, inputs], labels i64 [n]. A member's result does not depend on the others. Throws ShapeError for sizes that do not fit, ValueError
/// naming a member without examples, or for steps or together below 1.
void train_population(mlp::MlpPopulation& population, const Tensor& x, const Tensor& labels, const Tensor& masks,
                      const PopulationTraining& options = {});

/// masks for P members that all have the examples at `places`: bool [P, n]. Throws IndexError for a place outside [0, n).
Tensor same_masks(int64_t members, int64_t n, const std::vector<int64_t>& places);

/// Logits of all members, outside the graph and a few members at a time: x [n, inputs] → [P, n, outputs].
Tensor population_logits(const mlp::MlpPopulation& population, const Tensor& x, int64_t together = 64);

}  // namespace plumb::methods
