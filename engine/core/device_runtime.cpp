// The table of a device's functions, and what is built on it.
#include "engine/core/device_runtime.h"

#include <atomic>

#include "engine/core/error.h"
#include "engine/core/kernel.h"

namespace plumb {
namespace detail {

static std::atomic<const DeviceRuntime*> the_runtime{nullptr};

void set_device_runtime(const DeviceRuntime& runtime) { the_runtime.store(&runtime, std::memory_order_release); }

const DeviceRuntime* device_runtime_if_used() noexcept { return the_runtime.load(std::memory_order_acquire); }

const DeviceRuntime& device_runtime() {
  if (const DeviceRuntime* runtime = device_runtime_if_used()) return *runtime;
  ensure_registered(DeviceType::cuda);
  if (const DeviceRuntime* runtime = device_runtime_if_used()) return *runtime;
  throw DeviceError("cuda: this program was built without GPU kernels (see PLUMB_CUDA in README.md)");
}

}  // namespace detail

std::string device_problem(DeviceType type) {
  if (type == DeviceType::cpu) return {};
  try {
    return detail::device_runtime().count() > 0 ? std::string() : "cuda: there is no GPU";
  } catch (const DeviceError& error) {
    return error.what();
  }
}

int device_count(DeviceType type) {
  if (type == DeviceType::cpu) return 1;
  return device_problem(type).empty() ? detail::device_runtime().count() : 0;
}

std::string describe(Device device) { return device.type == DeviceType::cpu ? "cpu" : detail::device_runtime().describe(device.index); }

void synchronize(Device device) {
  if (device.type != DeviceType::cpu) detail::device_runtime().synchronize(device.index);
}

}  // namespace plumb
