// A bounded ring of batches between worker threads and the training loop.
#include "engine/data/internal/prefetch.h"

#include "engine/autograd/grad_mode.h"
#include "engine/core/parallel.h"

namespace plumb::data {

Prefetcher::Prefetcher(std::function<Batch(int64_t)> make, int64_t first, int threads, int64_t capacity)
    : make_(std::move(make)), slots_(static_cast<size_t>(capacity)), started_(first), handed_out_(first) {
  try {
    for (int t = 0; t < threads; ++t) threads_.emplace_back([this] { work(); });
  } catch (...) {
    stop();
    throw;
  }
}

Prefetcher::~Prefetcher() { stop(); }

void Prefetcher::stop() noexcept {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  room_.notify_all();
  for (std::thread& t : threads_) t.join();
}

void Prefetcher::work() {
  InlineParallel no_pool;
  NoGrad no_grad;
  std::unique_lock lock(mutex_);
  while (true) {
    room_.wait(lock, [&] { return stopping_ || started_ < handed_out_ + static_cast<int64_t>(slots_.size()); });
    if (stopping_) return;
    int64_t number = started_++;
    lock.unlock();
    Slot made;
    try {
      made.batch = make_(number);
    } catch (...) { made.error = std::current_exception(); }
    made.ready = true;
    lock.lock();
    slot_of(number) = std::move(made);
    if (number == handed_out_) ready_.notify_one();
  }
}

Batch Prefetcher::pop() {
  std::unique_lock lock(mutex_);
  ready_.wait(lock, [&] { return slot_of(handed_out_).ready; });
  Slot made = std::exchange(slot_of(handed_out_), Slot{});
  ++handed_out_;
  lock.unlock();
  room_.notify_one();
  if (made.error) std::rethrow_exception(made.error);
  return std::move(made.batch);
}

}  // namespace plumb::data
