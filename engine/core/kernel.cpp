// Filling the kernel tables on first use.
#include "engine/core/kernel.h"

#include <mutex>

#include "engine/core/error.h"

namespace plumb::detail {

void ensure_registered(DeviceType device) {
  static std::once_flag cpu_once, cuda_once;
  if (device == DeviceType::cpu) std::call_once(cpu_once, register_cpu);
#if defined(PLUMB_WITH_CUDA)
  if (device == DeviceType::cuda) std::call_once(cuda_once, register_cuda);
#else
  (void)cuda_once;
#endif
}

void missing_kernel(const char* kernel, Device device) {
  throw DeviceError(std::string(kernel) + ": there is no kernel for " + to_string(device));
}

}  // namespace plumb::detail
