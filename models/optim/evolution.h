// Search without gradients: a population of vectors, crossed and mutated, of which the best stay. For coefficients of checkpoints,
// schedules of samplers, or whatever a single number can judge.
#pragma once
#include <functional>
#include <vector>

#include "engine/core/generator.h"

namespace plumb::optim {

using Genes = std::vector<double>;

struct EvolutionOptions {
  int64_t evaluations = 400;                          ///< beside those of the seeds
  int64_t population = 20;                            ///< so many of the best are kept
  int64_t parents = 10;                               ///< and the best of these are crossed
  double linear = 0.5;                                ///< probability of l a + (1 − l) b with l uniform; else each gene is a's or b's
  double mutation = 0.5;                              ///< probability of a mutation; certain where both parents are one
  std::vector<double> deviations{0.003, 0.01, 0.03};  ///< of normal noise, one drawn for a mutation; none: no mutation at all
  double mutated = 0.3;                               ///< share of genes that a mutation changes
  bool heredity = true;                               ///< false: children are never parents, random search around the seeds
  void check() const;
};

struct EvolutionResult {
  Genes best;
  double fitness;               ///< of the best
  std::vector<double> history;  ///< the best fitness after the seeds, then after each evaluation: never rises
  int64_t rejected = 0;         ///< children (and seeds) whose fitness was not finite
};

/// Minimises `fitness` from `seeds`. `repair` is applied to every child before it is judged (a constraint). Of equals the older stays. The
/// same generator, the same result. Throws ValueError for no seeds, seeds of different lengths, options out of range, or if no seed has a
/// finite fitness.
EvolutionResult evolve(const std::function<double(const Genes&)>& fitness, const std::vector<Genes>& seeds,
                       const EvolutionOptions& options = {}, const std::function<void(Genes&)>& repair = {},
                       Generator& generator = default_generator());

/// l a + (1 − l) b. Throws ValueError for different lengths.
Genes linear_crossover(const Genes& a, const Genes& b, double l);
/// Each gene a's or b's, by a fair coin.
Genes swap_crossover(const Genes& a, const Genes& b, Generator& generator = default_generator());
/// Makes the sum 1 by the last gene alone. (Dividing by the sum would explode where it is near 0.)
void sum_to_one(Genes& genes);

}  // namespace plumb::optim
