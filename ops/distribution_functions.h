// Draws by rejection, for every device.
#pragma once
#include <cmath>

#include "engine/core/generator.h"
#include "ops/random_functions.h"

namespace plumb::random {

/// Numbers of one element's counter, stream by stream: attempt t reads stream t (or 2t and 2t + 1), so that how often others were rejected
/// does not matter.
class Words {
 public:
  PLUMB_DEVICE Words(uint64_t seed, uint64_t counter) : seed_(seed), counter_(counter) {}
  PLUMB_DEVICE double normal() {
    auto w = philox(seed_, counter_, stream_++);
    double a, b;
    normal_pair(w[0], w[1], w[2], w[3], a, b);
    return a;
  }
  /// Two uniform numbers in (0, 1).
  struct Uniform {
    double first, second;
  };
  PLUMB_DEVICE Uniform uniform() {
    auto w = philox(seed_, counter_, stream_++);
    return {open_unit(w[0], w[1]), open_unit(w[2], w[3])};
  }

 private:
  uint64_t seed_, counter_, stream_ = 0;
};

/// log of a gamma number of concentration a and rate 1: d v with v = (1 + c z)³, d = a − 1/3, c = 1/√(9 d), accepted if
/// log u < z²/2 + d − d v + d log v (Marsaglia & Tsang 2000), for a ≥ 1. For a < 1, G_{a+1} u^(1/a).
PLUMB_DEVICE inline double log_gamma(double a, Words& words) {
  double boost = 0;
  if (a < 1) {
    boost = std::log(words.uniform().first) / a;
    a += 1;
  }
  double d = a - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    double z = words.normal(), root = 1 + c * z;
    if (root <= 0) continue;
    double log_v = 3 * std::log(root), v = root * root * root;
    if (std::log(words.uniform().first) < 0.5 * z * z + d - d * v + d * log_v) return std::log(d) + log_v + boost;
  }
}

/// The smallest k with u ≤ Σ_{j ≤ k} P(j).
PLUMB_DEVICE inline double poisson_by_inversion(double rate, Words& words) {
  double u = words.uniform().first, k = 0, p = std::exp(-rate), sum = p;
  while (u > sum && k < 200) {  // by then p is below 2⁻⁵³ of the sum
    k += 1;
    p *= rate / k;
    sum += p;
  }
  return k;
}

/// k = ⌊(2a / (½ − |u|) + b) u + λ + 0.43⌋ with u in (−½, ½), accepted against the Poisson density (Hörmann 1993, algorithm PTRS).
PLUMB_DEVICE inline double poisson_by_rejection(double rate, Words& words) {
  double log_rate = std::log(rate), b = 0.931 + 2.53 * std::sqrt(rate), a = -0.059 + 0.02483 * b;
  double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4), sure = 0.9277 - 3.6224 / (b - 2);
  for (;;) {
    auto [first, v] = words.uniform();
    double u = first - 0.5, us = 0.5 - std::abs(u), k = std::floor((2 * a / us + b) * u + rate + 0.43);
    if (us >= 0.07 && v <= sure) return k;
    if (k < 0 || (us < 0.013 && v > us)) continue;
    if (std::log(v * inverse_alpha / (a / (us * us) + b)) <= k * log_rate - rate - special::lgamma(k + 1)) return k;
  }
}

/// A Poisson count.
PLUMB_DEVICE inline double poisson(double rate, Words& words) {
  return rate < 10 ? poisson_by_inversion(rate, words) : poisson_by_rejection(rate, words);
}

}  // namespace plumb::random
