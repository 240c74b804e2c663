// Memory for packed operands.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include "engine/core/allocator.h"

namespace plumb::gemm {

/// Undefined values, aligned to a cache line, from the engine's caching allocator.
template <typename T>
class Buffer {
 public:
  explicit Buffer(int64_t count)
      : bytes_(count * sizeof(T)), data_(static_cast<T*>(plumb::allocate(plumb::cpu, bytes_, "gemm", "packed operand"))) {}
  ~Buffer() { plumb::deallocate(plumb::cpu, data_, bytes_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  T* data() { return data_; }
  const T* data() const { return data_; }

 private:
  size_t bytes_;
  T* data_;
};

/// Room for `count` values that the calling thread keeps and reuses: the blocks that one thread packs for itself, at most a few hundred kB.
template <typename T>
T* thread_scratch(int64_t count) {
  struct Free {
    void operator()(T* x) const { ::operator delete (x, std::align_val_t{64}); }
  };
  thread_local std::unique_ptr<T, Free> data;
  thread_local int64_t held = 0;
  if (held < count) {
    data.reset(static_cast<T*>(::operator new (count * sizeof(T), std::align_val_t{64})));
    held = count;
  }
  return data.get();
}

}  // namespace plumb::gemm
