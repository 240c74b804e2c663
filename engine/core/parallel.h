// One thread pool for the whole process: loops over independent ranges of work.
#pragma once
#include <cstdint>
#include <type_traits>
#include <utility>

namespace plumb {

/// Number of threads that parallel_for uses, the caller included. From PLUMB_NUM_THREADS if set, else the cores this process may run on.
int num_threads();
/// Changes the number of threads (≥ 1). Results do not depend on it. Throws ConfigError for n < 1. Not to be called inside a parallel_for.
void set_num_threads(int n);

namespace detail {
using RangeFunction = void (*)(void* context, int64_t begin, int64_t end);
void run_ranges(int64_t n, int64_t grain, RangeFunction f, void* context);
/// The pool would run a loop of `n` items inline on the calling thread.
bool runs_inline(int64_t n, int64_t grain);
}  // namespace detail

/// Calls body(begin, end) over disjoint ranges that cover [0, n), at least `grain` items each (but for the last), on all threads.
/// Which thread runs which range is not fixed, so the body's result for an item must not depend on the range it came in.
/// Nested calls, and calls from a thread marked as a loader worker, run inline. The first exception a body throws is rethrown here.
template <typename Body>
void parallel_for(int64_t n, int64_t grain, Body&& body) {
  if (n <= 0) return;
  if (detail::runs_inline(n, grain)) return body(int64_t{0}, n);
  using B = std::remove_reference_t<Body>;
  detail::run_ranges(n, grain, [](void* c, int64_t b, int64_t e) { (*static_cast<B*>(c))(b, e); }, const_cast<void*>(static_cast<const void*>(&body)));
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
