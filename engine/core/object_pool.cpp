// Opening and closing a thread's pool of small objects.
#include "engine/core/object_pool.h"

namespace plumb::detail {
namespace {

// Under the address sanitizer every object is the system's own, so that a use after its end is found.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kPooling = false;
#else
constexpr bool kPooling = true;
#endif

// Gives the pieces back when the thread ends. Objects that die even later (in statics, in other thread-locals) bypass the pool.
struct Closing {
  ~Closing() {
    object_pool.capacity = 0;
    for (FreeList& list : object_pool.lists)
      while (!list.empty()) ::operator delete(list.pop());
  }
};
thread_local bool opened = false;

}  // namespace

void free_outside_pool(void* piece, size_t bytes) noexcept {
  if (!kPooling || opened || (bytes - 1) / kPooledStep >= kPooledLists) return ::operator delete(piece);
  opened = true;
  static thread_local Closing closing;
  object_pool.capacity = kPooledPieces;
  pool_free(piece, bytes);
}

}  // namespace plumb::detail
