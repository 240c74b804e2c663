// What the engine asks of a device other than the CPU: memory, waiting, its name. The device's backend fills the table when its kernels
// are registered; nothing else in the engine knows it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "engine/core/allocator.h"
#include "engine/core/device.h"

namespace plumb {

/// How many devices of this type can be used here. 0 for a GPU if the build has no CUDA, or the machine no driver or no GPU.
int device_count(DeviceType type);
/// Why device_count() is 0, in one line; empty if it is not.
std::string device_problem(DeviceType type);
/// "NVIDIA H100 80GB HBM3, 79.1 GiB, compute capability 9.0". Throws DeviceError if the device is not there.
std::string describe(Device device);
/// Waits until everything that was started on `device` has been done. Nothing to wait for on the CPU.
void synchronize(Device device);

namespace detail {

/// Recording work as graphs; see engine/core/capture.h. A recording has parts, which share memory that nothing else uses.
struct GraphRuntime {
  void* (*create)(int index);                                       ///< a recording without parts
  void (*destroy)(void* recording) noexcept;
  void (*begin)(void* recording);                                   ///< the thread's work is recorded from here on
  size_t (*end)(void* recording);                                   ///< returns the part's number
  void (*abandon)(void* recording) noexcept;                        ///< in place of end
  void (*launch)(void* recording, size_t part, uint64_t shift);     ///< with random draws `shift` counters further on
};
/// Copies to the device beside its work; see engine/data/internal/upload.h.
struct TransferRuntime {
  void* (*pin)(size_t bytes);                                       ///< host memory that copies run from without a stop
  void (*unpin)(void* block, size_t bytes) noexcept;
  /// A block on the device, to be deallocated as any, into which `bytes` are copied after everything that the device has been given so
  /// far, beside what comes; `event` becomes the end of it.
  void* (*start)(int index, const void* pinned, size_t bytes, void** event);
  void (*wait)(void* event);                                        ///< what the device is given from now on waits for the copy
  void (*finish)(void* event) noexcept;                             ///< the caller waits; then the event is gone
};

/// The functions of a backend. None may be null.
struct DeviceRuntime {
  int (*count)();
  std::string (*describe)(int index);
  void (*synchronize)(int index);
  void (*make_current)(int index);  ///< for the calling thread
  void* (*allocate)(int index, size_t bytes, const char* op, const Dims* shape);  ///< shape may be null
  void (*deallocate)(int index, void* block, size_t bytes) noexcept;
  MemoryStats (*memory_stats)(int index);
  void (*reset_peak_memory)(int index);
  void (*release_cached_memory)(int index);
  void (*set_memory_limit)(int index, int64_t bytes);
  GraphRuntime graphs;
  TransferRuntime transfers;
};

/// Called by the backend's registration; `runtime` lives as long as the program.
void set_device_runtime(const DeviceRuntime& runtime);
/// The backend's functions; registers its kernels if that has not happened yet. Throws DeviceError if there is no backend or no device.
const DeviceRuntime& device_runtime();
/// The backend's functions if it was registered, else null.
const DeviceRuntime* device_runtime_if_used() noexcept;

}  // namespace detail
}  // namespace plumb
