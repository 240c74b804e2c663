// Normal mixtures on which naive Bayes and logistic regression are compared: the paper's, where the least error is known, and one on which
// they take turns at being better.
#pragma once
#include "methods/classical/disc_vs_gen/disc_vs_gen.h"

namespace plumb::methods::disc_vs_gen {

/// x = μ_y + D^½ ε + G ε', y uniform over K classes, ε and ε' standard normal: covariance D + G Gᵀ in every class.
struct Mixture {
  Tensor means;      ///< [K, n], f64
  Tensor deviation;  ///< diagonal of D^½ [n]
  Tensor loadings;   ///< G [n, r]; undefined: 0, where naive Bayes is exact
  int64_t classes() const { return means.size(0); }
  int64_t features() const { return means.size(1); }
};
/// m rows. With `all_classes` the labels are drawn anew until every class is among them; throws ValueError for m < K then.
LabelledRows draw(const Mixture& mixture, int64_t m, Generator& generator, bool all_classes = true);

/// The paper's: means −1 · 1 (class 0) and 2^{k−1} · 1, variances n for the first ⌊n / 2⌋ features and 1 for the others.
/// Throws ValueError for n < 2 or K < 2.
Mixture gaussian_mixture_easy(int64_t features, int64_t classes);
/// The same with a random Gram part G Gᵀ, G [n, n] normal with variance strength² / n: features are correlated and naive Bayes is wrong.
Mixture gaussian_mixture_hard(int64_t features, int64_t classes, double strength, Generator& generator);
/// s = √(1ᵀ Σ⁻¹ 1): distance, in deviations, of two means that differ by 1 in every feature.
double separation(const Mixture& mixture);
/// The least possible error of both: all means lie on one line, so err = 2 / K · Σ_{k ≥ 1} Φ(−½ (c_k − c_{k−1}) s), c = −1, 1, 2, 4, …
double bayes_error(const Mixture& mixture);

/// Means N(0, 0.35²), unit variances, and 5 factors in common with loadings N(0, loading²).
Mixture two_regimes(int64_t features, int64_t classes, double loading, Generator& generator);

}  // namespace plumb::methods::disc_vs_gen
