// The pool: workers that spin briefly, then sleep, and take ranges of the current loop from one counter.
#include "engine/core/parallel.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

#include "engine/core/error.h"

namespace plumb {
namespace {

thread_local bool in_loop = false;      // this thread runs a body of a parallel_for
thread_local bool inline_only = false;  // this thread never enters the pool (InlineParallel)

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

// Returns when `value` no longer is `old`. The next loop of a training step comes within microseconds, so it pays to spin a little
// (a pause takes 15 to 40 ns) before the futex, whose wake-up costs the caller more than a short loop.
int wait_for_change(const std::atomic<int>& value, int old) {
  constexpr int kPauses = 1000;
  for (int i = 0; i < kPauses; i++) {
    const int now = value.load(std::memory_order_acquire);
    if (now != old) return now;
    pause();
  }
  value.wait(old);
  return value.load();
}

constexpr int kMostThreads = 4096;  // more is a slip of the pen

int available_cores() {
#ifdef __linux__
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return std::max(1, CPU_COUNT(&cores));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int default_threads() {
  const char* text = std::getenv("PLUMB_NUM_THREADS");
  if (!text || !*text) return available_cores();
  int n = 0;
  const char* end = text + std::strlen(text);
  const auto [parsed, error] = std::from_chars(text, end, n);
  if (error != std::errc{} || parsed != end || n < 1 || n > kMostThreads)
    throw ConfigError("PLUMB_NUM_THREADS: \"" + std::string(text) + "\" is not a whole number from 1 to " + std::to_string(kMostThreads));
  return n;
}

// A mutex that its own thread may try_lock again (exit called in the middle of a loop does).
class Gate {
 public:
  bool try_lock() { return !held_.test_and_set(std::memory_order_acquire); }
  void lock() {
    while (!try_lock()) held_.wait(true);
  }
  void unlock() {
    held_.clear(std::memory_order_release);
    held_.notify_one();
  }

 private:
  std::atomic_flag held_;
};

struct Loop {
  int64_t n, grain;
  detail::RangeFunction body;
  void* context;
};

// Threads take ranges of the current loop from one counter. A worker that is late (asleep, or its core busy elsewhere) is not waited
// for: the caller closes the loop when no range is left and waits only for workers that are inside. A worker announces itself in
// `inside_` before it looks at `open_`, the caller clears `open_` before it looks at `inside_` (both sequentially consistent): so
// either the worker sees the loop closed, or the caller sees the worker.
class Pool {
 public:
  explicit Pool(int threads) : threads_(threads) {}

  int threads() const { return threads_.load(std::memory_order_relaxed); }

  void run(const Loop& loop) {
    const std::unique_lock lock(busy_, std::try_to_lock);
    if (!lock) return loop.body(loop.context, 0, loop.n);  // another thread's loop runs
    start_workers();
    open(loop);
    in_loop = true;
    take_ranges();
    in_loop = false;
    close();
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

  void set_threads(int n) {
    const std::lock_guard lock(busy_);
    stop_workers();
    threads_ = n;
  }

  // At exit: ends the workers, unless a loop still runs (exit was called in the middle of one); later loops run inline.
  void shut_down() {
    const std::unique_lock lock(busy_, std::try_to_lock);
    if (!lock) return;
    stop_workers();
    threads_ = 1;
  }

 private:
  void start_workers() {
    try {
      while (static_cast<int>(workers_.size()) + 1 < threads()) workers_.emplace_back(&Pool::work, this, epoch_.load());
    } catch (const std::system_error&) {
      std::string room = std::to_string(workers_.size() + 1), wanted = std::to_string(threads());
      stop_workers();
      throw ConfigError("threads: the system gives " + room + " of " + wanted + "; set_num_threads or PLUMB_NUM_THREADS asks for fewer");
    }
  }

  void stop_workers() {
    stopping_ = true;
    announce();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
    stopping_ = false;
  }

  void announce() {
    epoch_.fetch_add(1);
    epoch_.notify_all();
  }

  void open(const Loop& loop) {
    loop_ = loop;
    pieces_ = 2 * threads();
    failed_.clear();
    next_.store(0, std::memory_order_relaxed);
    open_.store(true);
    announce();
  }

  void close() {
    open_.store(false);
    for (int workers = inside_.load(); workers != 0;) workers = wait_for_change(inside_, workers);
  }

  void work(int epoch) {
    in_loop = true;
    for (;;) {
      epoch = wait_for_change(epoch_, epoch);
      if (stopping_) return;
      inside_.fetch_add(1);
      if (open_.load()) take_ranges();
      inside_.fetch_sub(1);
      inside_.notify_all();
    }
  }

  void take_ranges() {
    try {
      for (int64_t begin, end; take(begin, end);) loop_.body(loop_.context, begin, end);
    } catch (...) {
      next_.store(loop_.n);
      if (!failed_.test_and_set()) error_ = std::current_exception();
    }
  }

  // Long ranges first, shorter ones as the end nears: few steps on the counter, and threads that finish together.
  bool take(int64_t& begin, int64_t& end) {
    begin = next_.load(std::memory_order_relaxed);
    do {
      if (begin >= loop_.n) return false;
      const int64_t grains = std::max<int64_t>(1, (loop_.n - begin) / (pieces_ * loop_.grain));
      end = std::min(loop_.n, begin + grains * loop_.grain);
    } while (!next_.compare_exchange_weak(begin, end, std::memory_order_relaxed));
    return true;
  }

  std::atomic<int> threads_;
  Gate busy_;  // held while a loop runs or the workers change
  std::vector<std::thread> workers_;
  std::atomic<bool> stopping_ = false;

  Loop loop_{};
  int64_t pieces_ = 1;
  std::atomic_flag failed_;
  std::exception_ptr error_;

  alignas(64) std::atomic<int> epoch_ = 0;  // counts announcements to the workers
  std::atomic<bool> open_ = false;
  alignas(64) std::atomic<int> inside_ = 0;
  alignas(64) std::atomic<int64_t> next_ = 0;
};

// Never destroyed, so that loops in destructors of other statics still run; its workers end when statics are destroyed.
Pool& pool() {
  static Pool* const pool = new Pool(default_threads());
  static const struct AtExit {
    ~AtExit() { pool->shut_down(); }
  } at_exit;
  return *pool;
}

}  // namespace

int num_threads() { return pool().threads(); }

void set_num_threads(int n) {
  if (n < 1) throw ConfigError("set_num_threads: " + std::to_string(n) + " threads; at least 1 is needed");
  if (n > kMostThreads) throw ConfigError("set_num_threads: " + std::to_string(n) + " threads; at most " + std::to_string(kMostThreads));
  if (in_loop) throw ConfigError("set_num_threads: called inside a parallel_for");
  pool().set_threads(n);
}

bool detail::runs_inline(int64_t n, int64_t grain) { return in_loop || inline_only || n <= grain || num_threads() == 1; }

void detail::run_ranges(int64_t n, int64_t grain, RangeFunction f, void* context) {
  pool().run({n, std::max<int64_t>(1, grain), f, context});
}

InlineParallel::InlineParallel() : before_(std::exchange(inline_only, true)) {}
InlineParallel::~InlineParallel() { inline_only = before_; }

}  // namespace plumb
