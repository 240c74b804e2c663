// Draws by rejection on the GPU, by the CPU's own functions. Threads of a warp whose draws were rejected go on while the others wait, a few
// attempts in all. Bound: arithmetic in f64, a few logarithms a number. The host waits to hear whether every parameter is good.
#include "ops/distribution_functions.h"

#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/random_place.h"
#include "ops/kernels/distributions.h"

namespace plumb::cuda_backend {
namespace {

struct LogGamma {
  __device__ static bool good(double a) { return a > 0 && std::isfinite(a); }
  __device__ static double draw(double a, random::Words& words) { return random::log_gamma(a, words); }
};
struct Poisson {
  __device__ static bool good(double rate) { return rate >= 0 && std::isfinite(rate); }
  __device__ static double draw(double rate, random::Words& words) { return random::poisson(rate, words); }
};

template <typename Law>
__global__ void draw_elements(DevicePlace place, const double* parameter, int64_t n, double* y, unsigned long long* bad) {
  for (int64_t i = thread_index(); i < n; i += grid_threads()) {
    if (!Law::good(parameter[i])) {
      atomicMin(bad, static_cast<unsigned long long>(i));
      continue;
    }
    random::Words words(place.seed, place.first() + static_cast<uint64_t>(i));
    y[i] = Law::draw(parameter[i], words);
  }
}

template <typename Law>
void draw_each(RandomPlace place, const Tensor& parameter, Tensor& out, int64_t& bad) {
  Scratch<unsigned long long> first(1);
  check(cudaMemsetAsync(first.data(), 0xff, sizeof(unsigned long long), current_stream()), "distribution");
  launch(draw_elements<Law>, grid_for(out.numel()), device_place(place), parameter.data<double>(), out.numel(), out.data<double>(),
         first.data());
  unsigned long long found = read_back(first.data());
  bad = found == ~0ULL ? -1 : static_cast<int64_t>(found);
}

}  // namespace

void register_distributions() {
  kernel::log_gamma_draw.set(DeviceType::cuda, draw_each<LogGamma>);
  kernel::poisson_draw.set(DeviceType::cuda, draw_each<Poisson>);
}

}  // namespace plumb::cuda_backend
