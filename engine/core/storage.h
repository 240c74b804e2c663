// A block of memory on a device, shared by every tensor that views it.
#pragma once
#include <atomic>
#include <cstddef>

#include "engine/core/device.h"
#include "engine/core/intrusive_ptr.h"
#include "engine/core/object_pool.h"

namespace plumb {

class Storage : public RefCounted, public detail::Pooled {
 public:
  /// What happens to memory that came from elsewhere (a mapped file, another library's array).
  using Release = void (*)(void* context);

  Storage(Device device, void* data, size_t bytes) : device_(device), data_(static_cast<std::byte*>(data)), bytes_(bytes) {}
  Storage(Device device, void* data, size_t bytes, Release release, void* context)
      : device_(device), data_(static_cast<std::byte*>(data)), bytes_(bytes), release_(release), context_(context), foreign_(true) {}
  ~Storage();

  Device device() const { return device_; }
  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  /// Counts writes in place, so that a tensor saved for backward can tell that it was changed.
  uint32_t version() const { return version_.load(std::memory_order_relaxed); }
  void bump_version() { version_.fetch_add(1, std::memory_order_relaxed); }

 private:
  Device device_;
  std::byte* data_;
  size_t bytes_;
  Release release_ = nullptr;
  void* context_ = nullptr;
  bool foreign_ = false;
  std::atomic<uint32_t> version_{0};
};
inline void destroy(Storage* s) { delete s; }
using StoragePtr = IntrusivePtr<Storage>;

}  // namespace plumb
