// The scheduler of a block's threads: each runs until it waits for others, in a warp or the whole block, or returns.
#include "tests/cuda/simulated/block.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "tests/cuda/simulated/device.h"
#include "tests/cuda/simulated/fiber.h"

namespace plumb::simulated {
namespace {

constexpr size_t kStackBytes = 256 << 10, kLanes = 32, kMostExchanged = 32;
constexpr size_t kSharedBytes = 227 << 10, kPage = 4096;

enum class State { ready, at_barrier, in_exchange, returned };

// Lanes of one warp that exchange values under one mask. Values of two exchanges are kept, so that a lane may begin the next while others
// still read.
struct Exchange {
  uint32_t mask;
  uint32_t arrived = 0;
  size_t bytes = 0;
  int turn = 0;
  alignas(16) std::array<std::array<std::byte, kLanes * kMostExchanged>, 2> values;
};

struct Warp {
  uint32_t live = 0;
  std::vector<Exchange> exchanges;
};

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
  bool valid;
};

struct Thread {
  uint3 index;
  State state = State::returned;
  uint32_t exchanged = 0;                     // lanes of its last exchange
  std::vector<std::vector<Copy>> copies{{}};  // groups; the last one is open
};

// Dynamic shared memory ends at a page that nobody may touch.
class SharedMemory {
 public:
  SharedMemory() {
    end_ =
        static_cast<std::byte*>(mmap(nullptr, kReserved + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) + kReserved;
    mprotect(end_, kPage, PROT_NONE);
  }
  void prepare(size_t bytes) {
    start_ = end_ - (bytes + 127) / 128 * 128;
    std::memset(start_, 0xFF, static_cast<size_t>(end_ - start_));
  }
  void* start() const { return start_; }

 private:
  static constexpr size_t kReserved = (kSharedBytes + kPage - 1) / kPage * kPage;
  std::byte *start_ = nullptr, *end_ = nullptr;
};

class Block {
 public:
  void run(const dim3& threads, size_t shared_bytes, const std::function<void()>& body, size_t shuffle);

  void wait(State state) {
    thread().state = state;
    fibers_[current_]->leave();
  }
  Thread& thread() { return threads_[current_]; }
  Warp& warp() { return warps_[current_ / kLanes]; }
  uint32_t lane() const { return static_cast<uint32_t>(current_ % kLanes); }
  /// The last lane to arrive goes on at once, the others become ready.
  void wait_in_exchange(Exchange& exchange) {
    thread().state = State::in_exchange;
    release_exchange(warp(), current_ / kLanes * kLanes, exchange);
    if (thread().state == State::in_exchange) fibers_[current_]->leave();
  }
  [[noreturn]] void fail(const std::string& what) {
    problem_ = what;
    for (;;) fibers_[current_]->leave();
  }

  SharedMemory shared;
  int counted = 0, count_result = 0;

 private:
  static void enter(void* block) {
    auto& b = *static_cast<Block*>(block);
    (*b.body_)();
    // On a GPU they would write when they please, into what others use by then.
    for (const std::vector<Copy>& group : b.thread().copies)
      if (!group.empty()) b.fail("a thread ends with asynchronous copies that it did not wait for");
    b.thread().state = State::returned;
    b.fibers_[b.current_]->leave();
  }
  void prepare(const dim3& threads, const std::function<void()>& body);
  void release_exchange(Warp& warp, size_t first_thread, Exchange& exchange);
  void step(size_t thread);
  void returned(size_t thread);
  void release_barrier();
  [[noreturn]] void stuck() const;

  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  const std::function<void()>* body_ = nullptr;
  size_t current_ = 0, count_ = 0;
  std::string problem_;
};

void Block::prepare(const dim3& threads, const std::function<void()>& body) {
  count_ = size_t{threads.x} * threads.y * threads.z;
  body_ = &body;
  problem_.clear();
  counted = 0;
  while (fibers_.size() < count_) fibers_.push_back(std::make_unique<Fiber>(kStackBytes));
  threads_.assign(count_, {});
  warps_.assign((count_ + kLanes - 1) / kLanes, {});
  for (size_t i = 0; i < count_; ++i) {
    auto n = static_cast<unsigned>(i);
    threads_[i].index = {n % threads.x, n / threads.x % threads.y, n / (threads.x * threads.y)};
    threads_[i].state = State::ready;
    warps_[i / kLanes].live |= 1u << i % kLanes;
    fibers_[i]->start(enter, this);
  }
}

void Block::step(size_t i) {
  current_ = i;
  threadIdx = threads_[i].index;
  fibers_[i]->resume();
  if (!problem_.empty()) throw KernelError(problem_);
  if (threads_[i].state == State::returned) returned(i);
  else if (threads_[i].state == State::at_barrier) release_barrier();
}

void Block::release_barrier() {
  for (size_t i = 0; i < count_; ++i)
    if (threads_[i].state != State::at_barrier && threads_[i].state != State::returned) return;
  count_result = counted;
  counted = 0;
  for (size_t i = 0; i < count_; ++i)
    if (threads_[i].state == State::at_barrier) threads_[i].state = State::ready;
}

void Block::release_exchange(Warp& warp, size_t first_thread, Exchange& exchange) {
  if (exchange.arrived == 0 || exchange.arrived != (exchange.mask & warp.live)) return;
  for (size_t l = 0; l < kLanes; ++l) {
    if (!(exchange.arrived >> l & 1u)) continue;
    threads_[first_thread + l].state = State::ready;
    threads_[first_thread + l].exchanged = exchange.arrived;
  }
  exchange.arrived = 0;
  exchange.turn ^= 1;
}

// Others no longer wait for a thread that has returned.
void Block::returned(size_t i) {
  Warp& warp = warps_[i / kLanes];
  warp.live &= ~(1u << i % kLanes);
  for (Exchange& exchange : warp.exchanges) release_exchange(warp, i / kLanes * kLanes, exchange);
  release_barrier();
}

void Block::stuck() const {
  auto in = [&](State s) { return std::count_if(threads_.begin(), threads_.end(), [s](const Thread& t) { return t.state == s; }); };
  throw KernelError("threads wait for ever: " + std::to_string(in(State::at_barrier)) + " at a barrier, " +
                    std::to_string(in(State::in_exchange)) + " in a warp function, " + std::to_string(in(State::returned)) +
                    " have returned");
}

void Block::run(const dim3& threads, size_t shared_bytes, const std::function<void()>& body, size_t shuffle) {
  prepare(threads, body);
  shared.prepare(shared_bytes);
  // Every pass visits the threads in an order of its own: from a start that moves, forwards or backwards.
  for (size_t pass = shuffle;; ++pass) {
    bool any = false;
    for (size_t k = 0; k < count_; ++k) {
      size_t place = (k + pass * 37) % count_, i = pass % 2 ? count_ - 1 - place : place;
      if (threads_[i].state != State::ready) continue;
      step(i);
      any = true;
    }
    if (!any && std::all_of(threads_.begin(), threads_.end(), [](const Thread& t) { return t.state == State::returned; })) return;
    if (!any) stuck();
  }
}

Block& block() {
  static thread_local Block the_block;
  return the_block;
}

std::string text(const uint3& at) { return "(" + std::to_string(at.x) + ", " + std::to_string(at.y) + ", " + std::to_string(at.z) + ")"; }

}  // namespace

void run_grid(dim3 blocks, dim3 threads, size_t shared_bytes, const std::function<void()>& body, const void* kernel) {
  gridDim = blocks;
  blockDim = threads;
  size_t count = size_t{blocks.x} * blocks.y * blocks.z;
  poison_static_shared_memory();  // before the first block only: all kernels' arrays take a while, and what one block does not set, none
                                  // does
  size_t step = count / 2 + 1;  // coprime to count after at most a few tries: all blocks are visited, in a mixed order
  while (std::gcd(step, count) != 1) ++step;
  for (size_t k = 0; k < count; ++k) {
    auto n = static_cast<unsigned>(k * step % count);
    blockIdx = {n % blocks.x, n / blocks.x % blocks.y, n / (blocks.x * blocks.y)};
    try {
      block().run(threads, shared_bytes, body, k);
    } catch (const KernelError& error) {
      throw KernelError(kernel_name(kernel) + ", block " + text(blockIdx) + ": " + error.what());
    }
  }
}

void barrier() { block().wait(State::at_barrier); }

int barrier_count(bool predicate) {
  block().counted += predicate;
  barrier();
  return block().count_result;
}

int lane() { return static_cast<int>(block().lane()); }
uint32_t live_lanes() { return block().warp().live; }
uint32_t exchanged_lanes() { return block().thread().exchanged; }

const std::byte* exchange(uint32_t mask, const void* mine, size_t bytes) {
  Block& b = block();
  Warp& warp = b.warp();
  uint32_t lane = b.lane();
  if (!(mask >> lane & 1u)) b.fail("a lane calls a warp function whose mask leaves it out");
  if (bytes > kMostExchanged) b.fail("more bytes than an exchange holds");
  auto found = std::find_if(warp.exchanges.begin(), warp.exchanges.end(), [&](const Exchange& e) { return e.mask == mask; });
  if (found == warp.exchanges.end()) {
    warp.exchanges.emplace_back().mask = mask;
    found = warp.exchanges.end() - 1;
  }
  auto which = static_cast<size_t>(found - warp.exchanges.begin());
  if (found->arrived && found->bytes != bytes) b.fail("lanes of one warp are in different warp functions");
  found->bytes = bytes;
  found->arrived |= 1u << lane;
  auto turn = static_cast<size_t>(found->turn);
  if (bytes) std::memcpy(found->values[turn].data() + lane * bytes, mine, bytes);
  b.wait_in_exchange(*found);
  return warp.exchanges[which].values[turn].data();
}

uint32_t ballot(uint32_t mask, bool predicate) {
  const std::byte* all = exchange(mask, &predicate, 1);
  uint32_t bits = 0;
  for (uint32_t l = 0; l < kLanes; ++l)
    if (exchanged_lanes() >> l & 1u) bits |= static_cast<uint32_t>(static_cast<bool>(all[l])) << l;
  return bits;
}

void* dynamic_shared_memory() { return block().shared.start(); }

void copy_async(void* to, const void* from, size_t bytes, bool valid) {
  block().thread().copies.back().push_back({to, from, bytes, valid});
}
void copy_async_commit() { block().thread().copies.emplace_back(); }
void copy_async_wait(int pending) {
  auto& groups = block().thread().copies;
  while (groups.size() > static_cast<size_t>(pending) + 1) {
    for (const Copy& c : groups.front()) {
      if (c.valid) std::memcpy(c.to, c.from, c.bytes);
      else std::memset(c.to, 0, c.bytes);
    }
    groups.erase(groups.begin());
  }
}

void fail(const char* what) { block().fail(what); }

}  // namespace plumb::simulated
