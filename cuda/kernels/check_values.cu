// What losses are given, on the GPU: what is refused is reported (deferred_error.h). Bytes: one read an element.
#include "cuda/runtime/deferred_error.h"
#include "cuda/runtime/launch.h"
#include "ops/kernels/check_values.h"

namespace plumb::cuda_backend {
namespace {

template <typename T>
__global__ void check_kernel(const T* x, int64_t n, Allowed allowed, ValueCheck check) {
  for (int64_t i = thread_index(); i < n; i += grid_threads())
    if (refused(x[i], allowed)) check.report(static_cast<double>(x[i]));
}

void check_values(const char* op, const char* what, const Tensor& x, Allowed allowed, bool& found, double&) {
  found = false;
  if (x.numel() == 0) return;
  ValueCheck check = value_check(op, what, complaint(allowed));
  if (x.dtype() == f64) launch(check_kernel<double>, grid_for(x.numel()), x.data<double>(), x.numel(), allowed, check);
  else launch(check_kernel<float>, grid_for(x.numel()), x.data<float>(), x.numel(), allowed, check);
}

}  // namespace

void register_check_values() { kernel::check_values.set(DeviceType::cuda, check_values); }

}  // namespace plumb::cuda_backend
