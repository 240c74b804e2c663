// Memory for tensors: freed blocks are kept for reuse, because fresh pages cost more than the arithmetic of most operations.
#pragma once
#include <cstddef>
#include <cstdint>

#include "engine/core/device.h"

namespace plumb {

class Dims;

struct MemoryStats {
  int64_t live = 0;         ///< bytes in use by tensors, rounded up to block sizes
  int64_t peak = 0;         ///< largest `live` since the start or the last reset
  int64_t reserved = 0;     ///< bytes held from the system: live and cached
  int64_t allocations = 0;  ///< blocks handed out so far
};

/// A block of at least `bytes` bytes, aligned to 64, its contents undefined. `op` and `what` (a shape) are named if memory runs out.
/// Throws OutOfMemoryError when the limit or the system's memory is exhausted, after cached blocks were given back.
void* allocate(Device device, size_t bytes, const char* op, const char* what);
/// The same for a tensor of a shape: a device other than the CPU remembers it, to say what is live when memory runs out.
void* allocate(Device device, size_t bytes, const char* op, const Dims& shape);
/// Returns a block obtained from allocate(device, bytes).
void deallocate(Device device, void* block, size_t bytes) noexcept;

/// Blocks of up to 4 KiB that other threads allocate or free are counted when they come to 16 KiB, and when the thread ends.
MemoryStats memory_stats(Device device);
/// Sets `peak` to what is live now.
void reset_peak_memory(Device device);
/// Gives cached blocks back to the system.
void release_cached_memory(Device device);
/// Tensors on `device` may hold at most `bytes` in all; 0 restores the default (the machine's memory for the CPU).
void set_memory_limit(Device device, int64_t bytes);

}  // namespace plumb
