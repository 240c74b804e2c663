// Class frequencies that fall from many to few: data sets with a long tail, and the weights that answer them.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/data/dataset.h"

namespace plumb::data {

enum class Tail : uint8_t {
  exponential,  ///< n_c = n₀ r^(−c / (C − 1)), r the imbalance
  step,         ///< the first half of the classes n₀, the others n₀ / r
  pareto,       ///< n_c = n₀ (c + 1)^(−log r / log C)
};

/// Examples of classes 0, 1, …, at least one each, rounded down (Cui et al., CVPR 2019): the first has `largest`, the last largest /
/// imbalance. Throws ValueError for largest or classes < 1, or an imbalance < 1.
std::vector<int64_t> long_tail_counts(int64_t largest, int64_t classes, double imbalance, Tail tail = Tail::exponential);

/// As many random examples of each class as `counts` says, in the original order. `rank` (a permutation of the classes; empty: as they are)
/// says which class comes first. Throws ValueError if a class has fewer, IndexError for a label without a count, ValueError for a rank that
/// is no permutation.
Dataset long_tail(const Dataset& data, const std::vector<int64_t>& counts, uint64_t seed, const std::vector<int64_t>& rank = {});

/// How many examples every class has; `classes` −1: up to the largest label.
std::vector<int64_t> class_counts(const std::vector<int64_t>& labels, int64_t classes = -1);

/// Weights of the classes with mean 1, for losses and samplers. Throw ValueError for a class without examples.
std::vector<double> inverse_frequency_weights(const std::vector<int64_t>& counts);
/// In proportion to (1 − β) / (1 − β^n_c), the inverse of the effective number of examples (Cui et al., CVPR 2019). 0 ≤ β < 1.
std::vector<double> effective_number_weights(const std::vector<int64_t>& counts, double beta = 0.999);
/// τ log(n_c / Σ n): added to logits in training (Menon et al., ICLR 2021).
std::vector<double> logit_adjustment(const std::vector<int64_t>& counts, double tau = 1);

/// Which classes have many (> many_above), few (< few_below) or a medium number of examples.
struct ShotGroups {
  std::vector<int64_t> many, medium, few;
};
/// The classes of each group, ascending, by their `counts`.
ShotGroups shot_groups(const std::vector<int64_t>& counts, int64_t many_above = 100, int64_t few_below = 20);

}  // namespace plumb::data
