// What the engine asks of a GPU, answered by this folder.
#include "cuda/runtime/device.h"
#include "cuda/runtime/error.h"
#include "cuda/runtime/memory.h"
#include "engine/core/device_runtime.h"

#include <cstdio>

namespace plumb::cuda_backend {
namespace {

std::string describe(int index) {
  const DeviceProperties& p = properties(index);
  char text[96];
  std::snprintf(text, sizeof text, ", %.1f GiB, compute capability %d.%d", static_cast<double>(p.memory_bytes) / (1 << 30), p.major, p.minor);
  return p.name + text;
}

void synchronize(int index) {
  make_current(index);
  check(cudaDeviceSynchronize(), "synchronize");
}

void* allocate_on(int index, size_t bytes, const char* op, const Dims* shape) {
  make_current(index);
  return allocate(bytes, op, shape);
}

void deallocate_on(int, void* block, size_t) noexcept { deallocate(block); }

constexpr plumb::detail::DeviceRuntime kRuntime{device_count,        describe,          synchronize,           make_current,    allocate_on, deallocate_on,
                                                memory_stats, reset_peak_memory, release_cached_memory, set_memory_limit};

}  // namespace

void register_runtime() {
  device_count();  // throws where there is none
  plumb::detail::set_device_runtime(kRuntime);
}

}  // namespace plumb::cuda_backend
