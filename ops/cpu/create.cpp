// Sequences on the CPU. Each element is worked out from its place, so any range can be filled by any thread.
#include "ops/cpu/strided_loop.h"
#include "ops/kernels/create.h"

namespace plumb::cpu_kernels {
namespace {

void arange(Scalar start, Scalar step, Tensor& y) {
  bool integers = !start.floating() && !step.floating();
  visit_dtype(y.dtype(), [&]<typename T>() {
    if constexpr (std::is_same_v<T, bool>) {
      unsupported_dtype("arange", boolean);
    } else {
      T* p = y.data<T>();
      parallel_for(y.numel(), kPointwiseGrain, [&](int64_t begin, int64_t end) {
        if (integers) {
          for (int64_t i = begin; i < end; ++i) p[i] = static_cast<T>(static_cast<compute_t<T>>(start.integer() + i * step.integer()));
        } else {
          for (int64_t i = begin; i < end; ++i)
            p[i] = static_cast<T>(static_cast<compute_t<T>>(start.value() + static_cast<double>(i) * step.value()));
        }
      });
    }
  });
}

}  // namespace

void register_create() { kernel::arange.set(DeviceType::cpu, arange); }

}  // namespace plumb::cpu_kernels
