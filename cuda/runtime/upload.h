// Small arrays that the host makes for kernels: tables of pointers and constants. They go through pinned memory in stream order, and the
// host goes on at once.
#pragma once
#include <span>

#include "cuda/runtime/memory.h"

namespace plumb::cuda_backend {

/// Copies `bytes` bytes to the device in stream order; `from` may be changed when this returns. In a captured step the bytes stay where the
/// graph reads them from at every replay.
void upload(void* to, const void* from, size_t bytes);

/// The elements of an array of the host on the current device.
template <typename T>
class Uploaded {
 public:
  explicit Uploaded(std::span<const T> values, const char* op) : room_(static_cast<int64_t>(values.size()), op) {
    if (!values.empty()) upload(room_.data(), values.data(), values.size_bytes());
  }
  const T* data() const { return room_.data(); }

 private:
  Scratch<T> room_;
};

}  // namespace plumb::cuda_backend
