// Memory for the engine's own small objects (tensors' records, storages, graph nodes), which come and go by the thousand in a step:
// each thread keeps the pieces it freed, by size, and hands them out again without a lock.
#pragma once
#include "engine/core/free_list.h"

namespace plumb::detail {

inline constexpr size_t kPooledStep = 64, kPooledLists = 12;  // list i holds pieces of (i + 1)·64 bytes
inline constexpr size_t kPooledPieces = 1024;                 // a list keeps at most so many

struct ObjectPool {
  FreeList lists[kPooledLists];
  size_t capacity = 0;  ///< of each list; 0 until the thread first frees a piece, and again when it ends
};
inline constinit thread_local ObjectPool object_pool;

/// Frees a piece while the pool is closed or its list is full; opens the pool at the thread's first use.
void free_outside_pool(void* piece, size_t bytes) noexcept;

inline void* pool_allocate(size_t bytes) {
  size_t i = (bytes - 1) / kPooledStep;
  if (i >= kPooledLists) return ::operator new(bytes);
  FreeList& list = object_pool.lists[i];
  return list.empty() ? ::operator new((i + 1) * kPooledStep) : list.pop();
}

inline void pool_free(void* piece, size_t bytes) noexcept {
  size_t i = (bytes - 1) / kPooledStep;
  if (i >= kPooledLists || object_pool.lists[i].size() >= object_pool.capacity) return free_outside_pool(piece, bytes);
  object_pool.lists[i].push(piece);
}

/// Base of classes whose objects live in the pool. `delete` through a base class needs a virtual destructor, as always.
class Pooled {
 public:
  static void* operator new(size_t bytes) { return pool_allocate(bytes); }
  static void operator delete(void* object, size_t bytes) noexcept { pool_free(object, bytes); }
};

}  // namespace plumb::detail
