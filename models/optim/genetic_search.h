// Search among combinations of choices under a constraint: mixed-precision settings, architectures.
#pragma once
#include <functional>
#include <vector>

#include "engine/core/generator.h"

namespace plumb::optim {

/// Gene i is a number from 0 to (choices of gene i) − 1.
using Choices = std::vector<int>;

struct GeneticOptions {
  int64_t population = 100;  ///< children of a generation
  int64_t generations = 500;
  double parents = 0.25;      ///< share of the population that is kept, and bred from
  double mutated = 0.5;       ///< share of the children that are mutations; the others are crossings
  double mutation = 0.3;      ///< probability that a mutation draws a gene anew
  int64_t attempts = 20'000;  ///< draws for one generation before it makes do with fewer children; none in the first: an error
  /// Throws ValueError naming what is out of range.
  void check() const;
};

struct GeneticResult {
  Choices best;
  double fitness = 0;
  std::vector<double> history;  ///< the best fitness of each generation, which never falls
  int64_t judged = 0;           ///< candidates whose fitness was asked for
};

/// Maximises fitness(candidates), which judges many at once, over the candidates that `allowed` accepts: a first generation drawn at
/// random, then again and again the best of the parents and their children, by mutation and by uniform crossing of two parents. What is not
/// allowed is drawn again, at most `attempts` times: a constraint that nothing meets ends in a ValueError
/// `genetic_search: none of 20000 candidates meets the constraint`, and a tight one in smaller generations. The same generator, the same
/// result. Throws ValueError for no genes, a gene without choices, or options out of range.
GeneticResult genetic_search(const std::vector<int>& choices,
                             const std::function<std::vector<double>(const std::vector<Choices>&)>& fitness,
                             const std::function<bool(const Choices&)>& allowed, const GeneticOptions& options = {},
                             Generator& generator = default_generator());

/// So many candidates drawn at random that are allowed. Throws as genetic_search; ValueError if `attempts` draws do not give `count`.
std::vector<Choices> draw_allowed(const std::vector<int>& choices, const std::function<bool(const Choices&)>& allowed, int64_t count,
                                  int64_t attempts, Generator& generator = default_generator());

}  // namespace plumb::optim
