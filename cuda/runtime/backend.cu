// What the engine asks of a GPU, answered by this folder.
#include "cuda/runtime/deferred_error.h"
#include "cuda/runtime/device.h"
#include "cuda/runtime/error.h"
#include "cuda/runtime/graph.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/transfer.h"
#include "engine/core/device_runtime.h"

#include <cstdio>

namespace plumb::cuda_backend {
namespace {

std::string describe(int index) {
  const DeviceProperties& p = properties(index);
  char text[96];
  std::snprintf(text, sizeof text, ", %.1f GiB, compute capability %d.%d", static_cast<double>(p.memory_bytes) / (1 << 30), p.major,
                p.minor);
  return p.name + text;
}

void synchronize(int index) {
  make_current(index);
  check(cudaDeviceSynchronize(), "synchronize");
  throw_deferred_error();
}

void* allocate_on(int index, size_t bytes, const char* op, const Dims* shape) {
  make_current(index);
  return allocate(bytes, op, shape);
}

void deallocate_on(int, void* block, size_t) noexcept { deallocate(block); }

const plumb::detail::DeviceRuntime& runtime() {
  static const plumb::detail::DeviceRuntime all{device_count,          describe,         synchronize,     make_current,
                                                allocate_on,           deallocate_on,    memory_stats,    reset_peak_memory,
                                                release_cached_memory, set_memory_limit, graph_runtime(), transfer_runtime()};
  return all;
}

}  // namespace

void register_runtime() {
  device_count();  // throws where there is none
  plumb::detail::set_device_runtime(runtime());
}

}  // namespace plumb::cuda_backend
