// Memory on the GPU: a caching allocator in stream order, scratch space for kernels, and pinned memory on the host.
//
// Freed blocks are kept and handed out again without asking the driver, which takes a thousand times as long and waits for the GPU. Each
// stream has blocks of its own: what was freed may still be read by kernels that run, but the next user of the block comes later on the
// same stream. So a program that uses a tensor on another stream than the one it was made on must make that stream wait for an event, and
// this one for the end of the use, before the tensor is freed. A graph that is captured on a Stream of its own thereby has memory that
// nothing else uses.
#pragma once
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "engine/core/allocator.h"
#include "engine/core/shape.h"

namespace plumb::cuda_backend {

/// A block of at least `bytes` bytes on the current device, aligned to 512, for use on the current stream; contents undefined (with
/// PLUMB_POISON_MEMORY set, bytes 0xFF: NaN in every floating type). Throws OutOfMemoryError, which says what is live by operation and
/// shape, after cached blocks were given back to the driver.
void* allocate(size_t bytes, const char* op, const Shape* shape = nullptr);
/// Returns a block of any device.
void deallocate(void* block) noexcept;

/// While on, freed blocks of this stream of the current device are not given back to the driver: a graph may still work in them.
void keep_memory_of(cudaStream_t stream, bool on);

MemoryStats memory_stats(int device);
void reset_peak_memory(int device);
void release_cached_memory(int device);
void set_memory_limit(int device, int64_t bytes);

/// Room for `count` elements of T that a kernel needs beside its operands. Freed in stream order: it can go while kernels still use it.
template <typename T>
class Scratch {
 public:
  explicit Scratch(int64_t count, const char* op = "scratch")
      : data_(count > 0 ? static_cast<T*>(allocate(static_cast<size_t>(count) * sizeof(T), op)) : nullptr) {}
  ~Scratch() {
    if (data_) deallocate(data_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* data() const { return data_; }
  operator T*() const { return data_; }

 private:
  T* data_;
};

/// Memory on the host that copies to and from the GPU run from without a stop, while the host goes on. Cached like the GPU's.
class PinnedMemory {
 public:
  explicit PinnedMemory(size_t bytes);
  ~PinnedMemory();
  PinnedMemory(PinnedMemory&& other) noexcept : data_(other.data_), bytes_(other.bytes_) { other.data_ = nullptr; }
  PinnedMemory& operator=(PinnedMemory&&) = delete;
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  void* data_;
  size_t bytes_;
};

/// The value of type T at `device_value`, after everything before it on the current stream: waits. For kernels that answer a question
/// (an index out of range, a count), never on the hot path.
template <typename T>
T read_back(const T* device_value);
/// bytes from the device to the host, waiting.
void copy_to_host(void* to, const void* from, size_t bytes);

template <typename T>
T read_back(const T* device_value) {
  T value;
  copy_to_host(&value, device_value, sizeof(T));
  return value;
}

}  // namespace plumb::cuda_backend
