// Draws by rejection on the CPU. Bound: arithmetic, a few logarithms a number.
#include <cmath>

#include "engine/core/parallel.h"
#include "ops/distribution_functions.h"
#include "ops/kernels/distributions.h"

namespace plumb::cpu_kernels {
namespace {

constexpr int64_t kGrain = 1024;

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
      random::Words words(place.seed, place.offset + static_cast<uint64_t>(i));
      y[i] = draw(p[i], words);
    }
  });
}

void log_gamma_draw(RandomPlace place, const Tensor& concentration, Tensor& out, int64_t& bad) {
  draw_each(place, concentration, out, bad, [](double a) { return a > 0 && std::isfinite(a); }, random::log_gamma);
}

void poisson_draw(RandomPlace place, const Tensor& rate, Tensor& out, int64_t& bad) {
  draw_each(place, rate, out, bad, [](double r) { return r >= 0 && std::isfinite(r); }, random::poisson);
}

}  // namespace

void register_distributions() {
  kernel::log_gamma_draw.set(DeviceType::cpu, log_gamma_draw);
  kernel::poisson_draw.set(DeviceType::cpu, poisson_draw);
}

}  // namespace plumb::cpu_kernels
