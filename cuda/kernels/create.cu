// Sequences. Each element is worked out from its place. Bytes: one write an element.
#include "cuda/runtime/launch.h"
#include "engine/core/dtype.h"
#include "ops/kernels/create.h"

namespace plumb::cuda_backend {
namespace {

template <typename T, typename Number>
__global__ void arange_kernel(Number start, Number step, T* y, int64_t n) {
  for (int64_t i = thread_index(); i < n; i += grid_threads())
    y[i] = static_cast<T>(static_cast<compute_t<T>>(start + static_cast<Number>(i) * step));
}

void arange(Scalar start, Scalar step, Tensor& y) {
  bool integers = !start.floating() && !step.floating();
  visit_dtype(y.dtype(), [&]<typename T>() {
    if constexpr (std::is_same_v<T, bool>) unsupported_dtype("arange", boolean);
    else if (integers) launch(arange_kernel<T, int64_t>, grid_for(y.numel()), start.integer(), step.integer(), y.data<T>(), y.numel());
    else launch(arange_kernel<T, double>, grid_for(y.numel()), start.value(), step.value(), y.data<T>(), y.numel());
  });
}

}  // namespace

void register_create() { kernel::arange.set(DeviceType::cuda, arange); }

}  // namespace plumb::cuda_backend
