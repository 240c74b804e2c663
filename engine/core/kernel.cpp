// Filling the kernel tables on first use.
#include "engine/core/kernel.h"

#include <mutex>

#include "engine/core/device_runtime.h"
#include "engine/core/error.h"

namespace plumb {

[[gnu::weak]] void register_cuda();  // null where the program is linked without the GPU's kernels

namespace detail {

static std::once_flag once[kDeviceTypes];
static void (*fillers[kDeviceTypes])() = {register_cpu, register_cuda};

void ensure_registered(DeviceType device) {
  auto d = static_cast<size_t>(device);
  if (fillers[d]) std::call_once(once[d], fillers[d]);
}

void register_with(DeviceType device, void (*fill)()) { fillers[static_cast<size_t>(device)] = fill; }

void make_current(int index) { device_runtime().make_current(index); }

void missing_kernel(const char* kernel, Device device) {
  throw DeviceError(std::string(kernel) + ": there is no kernel for " + to_string(device));
}

void operand_elsewhere(const char* kernel, Device device, Device operand) {
  throw DeviceError(std::string(kernel) + ": a tensor is on " + to_string(operand) + " and the computation on " + to_string(device) +
                    "; move one of them with to()");
}

}  // namespace detail
}  // namespace plumb
