// Memory that runs out when a test wants it to: linked in place of operator new and of the engine's allocate() (ld's --wrap).
#pragma once

namespace plumb_test::memory {

enum class Kind {
  tensors,  ///< memory for the elements of tensors
  objects,  ///< everything else that C++ allocates
};
enum class Lasting { once, from_then_on };

/// From now on allocations of this kind are counted, and number `n` (from 0) fails, or all from it on; n < 0: none.
void fail_at(Kind kind, long n, Lasting lasting = Lasting::once);
/// Back to plenty. Returns how many were counted.
long end();
/// Objects allocated and not freed so far.
long objects_held();

}  // namespace plumb_test::memory
