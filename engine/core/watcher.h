// Watching the engine at work: who is told of each kernel, operation and block of memory while it is set (`plumb trace`).
#pragma once
#include <atomic>
#include <cstddef>
#include <span>

#include "engine/core/device.h"

namespace plumb {

class Tensor;

/// Told of what the engine does, on the thread that does it, between set_watcher(&watcher) and set_watcher(nullptr). It must not throw
/// and must not run operations itself. A kernel on a GPU has only been started when kernel_ended is called. What throws is not ended.
class Watcher {
 public:
  virtual ~Watcher() = default;
  /// `tensors`: the tensors among the kernel's arguments, in order, inputs and outputs alike.
  virtual void kernel_begins(const char* kernel, Device device, std::span<const Tensor* const> tensors) noexcept = 0;
  virtual void kernel_ended() noexcept = 0;
  /// An operation has entered the graph: the kernels since the one before it were its own.
  virtual void operation_recorded(const char* operation) noexcept = 0;
  virtual void backward_begins(const char* operation) noexcept = 0;
  virtual void backward_ended() noexcept = 0;
  /// `operation` asked for a block of `bytes` bytes for `what` (a shape).
  virtual void allocated(Device device, const void* block, size_t bytes, const char* operation, const char* what) noexcept = 0;
  virtual void freed(Device device, const void* block) noexcept = 0;
};

namespace detail {
inline constinit std::atomic<Watcher*> current_watcher{nullptr};
}

/// The watcher that is told now; null, as a rule.
inline Watcher* watcher() noexcept { return detail::current_watcher.load(std::memory_order_relaxed); }
/// Sets it, while no other thread runs operations; null ends the watching. It must outlive its time here.
inline void set_watcher(Watcher* watcher) noexcept { detail::current_watcher.store(watcher, std::memory_order_release); }

}  // namespace plumb
