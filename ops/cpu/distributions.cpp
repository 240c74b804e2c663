// Draws by rejection on the CPU. Attempt t of element i reads stream t (or 2t and 2t + 1) of the element's own counter, so that how often
// others were rejected does not matter. Bound: arithmetic, a few logarithms a number.
#include <cmath>
#include <utility>

#include "engine/core/generator.h"
#include "engine/core/parallel.h"
#include "ops/kernels/distributions.h"
#include "ops/random_functions.h"

namespace plumb::cpu_kernels {
namespace {

constexpr int64_t kGrain = 1024;

// Numbers of one element's counter, stream by stream.
class Words {
 public:
  Words(RandomPlace place, int64_t i) : seed_(place.seed), counter_(place.offset + static_cast<uint64_t>(i)) {}
  double normal() {
    auto w = philox(seed_, counter_, stream_++);
    double a, b;
    random::normal_pair(w[0], w[1], w[2], w[3], a, b);
    return a;
  }
  /// Two uniform numbers in (0, 1).
  std::pair<double, double> uniform() {
    auto w = philox(seed_, counter_, stream_++);
    return {random::open_unit(w[0], w[1]), random::open_unit(w[2], w[3])};
  }

 private:
  uint64_t seed_, counter_, stream_ = 0;
};

// d v with v = (1 + c z)³, d = a − 1/3, c = 1/√(9 d), accepted if log u < z²/2 + d − d v + d log v (Marsaglia & Tsang 2000), for a ≥ 1.
// For a < 1, G_{a+1} u^(1/a).
double log_gamma(double a, Words& words) {
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

// The smallest k with u ≤ Σ_{j ≤ k} P(j).
double poisson_by_inversion(double rate, Words& words) {
  double u = words.uniform().first, k = 0, p = std::exp(-rate), sum = p;
  while (u > sum && k < 200) {  // by then p is below 2⁻⁵³ of the sum
    k += 1;
    p *= rate / k;
    sum += p;
  }
  return k;
}

// k = ⌊(2a / (½ − |u|) + b) u + λ + 0.43⌋ with u in (−½, ½), accepted against the Poisson density (Hörmann 1993, algorithm PTRS).
double poisson_by_rejection(double rate, Words& words) {
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

// out[i] ← draw(parameter[i], words of i), unless some parameter is not good.
template <typename Good, typename Draw>
void draw_each(RandomPlace place, const Tensor& parameter, Tensor& out, int64_t& bad, Good&& good, Draw&& draw) {
  const double* p = parameter.data<double>();
  double* y = out.data<double>();
  int64_t n = out.numel();
  bad = -1;
  for (int64_t i = 0; i < n; ++i)
    if (!good(p[i])) {
      bad = i;
      return;
    }
  parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      Words words(place, i);
      y[i] = draw(p[i], words);
    }
  });
}

void log_gamma_draw(RandomPlace place, const Tensor& concentration, Tensor& out, int64_t& bad) {
  draw_each(place, concentration, out, bad, [](double a) { return a > 0 && std::isfinite(a); }, log_gamma);
}

void poisson_draw(RandomPlace place, const Tensor& rate, Tensor& out, int64_t& bad) {
  draw_each(place, rate, out, bad, [](double r) { return r >= 0 && std::isfinite(r); },
            [](double r, Words& words) { return r < 10 ? poisson_by_inversion(r, words) : poisson_by_rejection(r, words); });
}

}  // namespace

void register_distributions() {
  kernel::log_gamma_draw.set(DeviceType::cpu, log_gamma_draw);
  kernel::poisson_draw.set(DeviceType::cpu, poisson_draw);
}

}  // namespace plumb::cpu_kernels
