// One thread pool for the whole process: loops over independent ranges of work.
#pragma once
#include <cstdint>
#include <type_traits>
#include <utility>

namespace plumb {

/// Number of threads that parallel_for uses, the caller included: PLUMB_NUM_THREADS if set, else the cores this process may run on.
/// Throws ConfigError if PLUMB_NUM_THREADS is not a whole number ≥ 1.
int num_threads();
/// Changes the number of threads (≥ 1). Results do not depend on it. Waits for a loop that another thread runs.
/// Throws ConfigError for n < 1, and inside a parallel_for.
void set_num_threads(int n);

namespace detail {
using RangeFunction = void (*)(void* context, int64_t begin, int64_t end);
void run_ranges(int64_t n, int64_t grain, RangeFunction f, void* context);
/// The pool would run a loop of `n` items inline on the calling thread.
bool runs_inline(int64_t n, int64_t grain);
}  // namespace detail

/// Calls body(begin, end) over disjoint ranges that cover [0, n) on all threads. A range begins at a multiple of `grain` (≥ 1) and is
/// a multiple of it long (but for the last). Which thread runs which range is not fixed, so the body's result for an item must not
/// depend on the range it came in. Loops of at most `grain` items, nested loops, loops on a thread marked InlineParallel, and loops
/// started while another thread's loop runs, are one call body(0, n) on the calling thread.
/// The first exception a body throws is rethrown here, once no body runs any more; ranges not begun by then are skipped.
template <typename Body>
void parallel_for(int64_t n, int64_t grain, Body&& body) {
  if (n <= 0) return;
  if (n <= grain || detail::runs_inline(n, grain)) return static_cast<void>(body(int64_t{0}, n));
  using B = std::remove_reference_t<Body>;
  const auto call = [](void* context, int64_t begin, int64_t end) { (*static_cast<B*>(context))(begin, end); };
  detail::run_ranges(n, grain, call, const_cast<void*>(static_cast<const void*>(&body)));
}

/// While alive, parallel_for on this thread runs inline: for data loader workers, which must not compete with the pool.
class InlineParallel {
 public:
  InlineParallel();
  ~InlineParallel();
  InlineParallel(const InlineParallel&) = delete;
  InlineParallel& operator=(const InlineParallel&) = delete;

 private:
  bool before_;
};

}  // namespace plumb
