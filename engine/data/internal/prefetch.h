// Batches made ahead of time by threads, handed out in order.
#pragma once
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/data/sample.h"

namespace plumb::data {

/// Threads that call make(first), make(first + 1), … and keep at most `capacity` results waiting or in the making.
class Prefetcher {
 public:
  Prefetcher(std::function<Batch(int64_t)> make, int64_t first, int threads, int64_t capacity);
  /// Waits for the calls of `make` that are running; no new ones begin.
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  /// The number of the batch that pop() gives next.
  int64_t next() const { return handed_out_; }
  /// The next batch in order, waiting for it if need be; rethrows what make() threw for it.
  Batch pop();

 private:
  struct Slot {
    Batch batch;
    std::exception_ptr error;
    bool ready = false;
  };
  void work();
  void stop() noexcept;
  Slot& slot_of(int64_t number) { return slots_[static_cast<size_t>(number % static_cast<int64_t>(slots_.size()))]; }

  std::function<Batch(int64_t)> make_;
  std::vector<Slot> slots_;  ///< a ring: batch n lies in slot n mod capacity until it is handed out
  std::mutex mutex_;
  std::condition_variable room_, ready_;
  int64_t started_, handed_out_;  ///< the next number to be made, and to be handed out
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace plumb::data
