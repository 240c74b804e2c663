// What losses are given, on the CPU. Bytes: one read an element; in parts of several threads, and once more from the front if one is
// refused.
#include <algorithm>
#include <atomic>

#include "engine/core/parallel.h"
#include "ops/cpu/strided_loop.h"
#include "ops/kernels/check_values.h"

namespace plumb::cpu_kernels {
namespace {

template <typename T>
void check_typed(const T* x, int64_t n, Allowed allowed, bool& found, double& value) {
  std::atomic<bool> any{false};
  parallel_for(n, kPointwiseGrain, [&](int64_t begin, int64_t end) {
    bool here = false;
    for (int64_t i = begin; i < end; ++i) here |= refused(x[i], allowed);
    if (here) any.store(true, std::memory_order_relaxed);
  });
  found = any;
  if (found) value = static_cast<double>(*std::find_if(x, x + n, [&](T v) { return refused(v, allowed); }));
}

void check_values(const char*, const char*, const Tensor& x, Allowed allowed, bool& found, double& value) {
  if (x.dtype() == f64) check_typed(x.data<double>(), x.numel(), allowed, found, value);
  else check_typed(x.data<float>(), x.numel(), allowed, found, value);
}

}  // namespace

void register_check_values() { kernel::check_values.set(DeviceType::cpu, check_values); }

}  // namespace plumb::cpu_kernels
