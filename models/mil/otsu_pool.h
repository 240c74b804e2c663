// Adaptive pooling of a bag's scores: the mean of those that stand out, as many as Otsu's threshold says (Zhai et al., ICCV 2023).
#pragma once
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::mil {

struct OtsuSplit {
  int64_t below = 0;  ///< p: so many values belong to the lower group
  double within = 0;  ///< W(p)
};
/// The split p in 1 … n − 1 of ascending values a that minimises the variance within the two groups,
///   W(p) = (p/n) var(a_1 … a_p) + (1 − p/n) var(a_{p+1} … a_n),  population variances; of equal ones (to 1e-12 of the largest) the
///   smallest p.
/// By sums of values and squares, O(n). Throws ValueError for fewer than 3 values or ones that are not ascending.
OtsuSplit otsu_split(const std::vector<double>& ascending);

/// How many values of n a bag's score is the mean of, from its split: max(1, ⌊portion (n − max(p, ⌊n/2⌋ + 1))⌋).
int64_t otsu_count(int64_t below, int64_t n, double portion);

/// The mean of each bag's k largest values, k by otsu_count: maps [B, ..] → [B]. The gradient is 1/k on the chosen values (of equal ones
/// the first) and 0 elsewhere; the split is a constant. Throws ValueError for a bag of fewer than 3 values or a portion outside (0, 1].
Tensor otsu_pool(const Tensor& maps, double portion = 1);

}  // namespace plumb::mil
