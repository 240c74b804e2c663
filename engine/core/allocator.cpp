// The CPU's caching allocator. Sizes are rounded to classes (four a power of two); small classes have a cache in each thread,
// the rest share lists under a lock. Blocks of a MiB and more are cut from pieces of huge pages (large_blocks.h). A small block from the
// thread's cache takes no lock and no atomic operation: what a thread allocates and frees is counted there and added to the shared counters
// now and then.
#include "engine/core/allocator.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include "engine/core/device_runtime.h"
#include "engine/core/error.h"
#include "engine/core/free_list.h"
#include "engine/core/large_blocks.h"
#include "engine/core/shape.h"
#include "engine/core/watcher.h"

namespace plumb {
namespace {

constexpr size_t kSmallest = 64;
#ifdef __SANITIZE_ADDRESS__
constexpr int kClasses = 4 * 41;  // every block is the system's own, with the sanitizer's borders around it
#else
constexpr int kClasses = 4 * 14;  // up to 1 MiB
#endif
constexpr int kSmallClasses = 4 * 6 + 1;
constexpr size_t kThreadCacheBytes = size_t{64} << 10;  // in each class
constexpr int64_t kUncounted = 16 << 10;                // bytes that a thread may not have told the shared counters about

// Class c holds blocks of 64·2^(c/4)·(1 + (c%4)/4) bytes, each a multiple of 16.
size_t class_bytes(int c) { return (kSmallest << (c / 4)) / 4 * static_cast<size_t>(4 + c % 4); }

int size_class(size_t bytes) {
  if (bytes <= kSmallest) return 0;
  int power = std::bit_width(bytes - 1) - 7;  // 64·2^power < bytes ≤ 64·2^(power+1)
  size_t quarter = (kSmallest << power) / 4;
  return 4 * power + static_cast<int>((bytes + quarter - 1) / quarter) - 4;
}

// What a block for `bytes` bytes takes.
size_t block_bytes(size_t bytes, int c) { return c < kClasses ? class_bytes(c) : detail::LargeBlocks::rounded(bytes); }

std::string mebibytes(int64_t bytes) { return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB"; }

// What a thread did since it last added it to the shared counters.
struct Tally {
  int64_t live = 0, peak = 0, allocations = 0;
};

// Small blocks that this thread freed and will probably ask for again at once. Plain data: reaching it costs no check.
struct ThreadCache {
  detail::FreeList lists[kSmallClasses];
  Tally tally;
  bool opened = false;
  bool open = false;  // false before the thread's first use and when it ends
};
constinit thread_local ThreadCache thread_cache;

class CpuAllocator {
 public:
  /// From the shared lists, the large blocks or the system.
  void* allocate(size_t bytes, int c, const char* op, const char* what);
  /// To the shared lists or the large blocks; where there is no memory left to list it, to the system.
  void give_back(int c, void* block) noexcept;
  void count(Tally& tally) noexcept;
  MemoryStats stats() {
    count(thread_cache.tally);
    return {live_.load(), peak_.load(), reserved(), allocations_.load()};
  }
  void reset_peak() {
    count(thread_cache.tally);
    peak_ = live_.load();
  }
  void release_cached();
  void set_limit(int64_t bytes) { limit_ = bytes > 0 ? bytes : physical_memory(); }

 private:
  static int64_t physical_memory() { return int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGE_SIZE); }
  int64_t reserved();
  void* find(size_t bytes, int c);
  void* from_system(int c, int64_t room);

  std::mutex mutex_;
  std::array<std::vector<void*>, kClasses> free_;
  detail::LargeBlocks large_;
  std::atomic<int64_t> live_{0}, peak_{0}, reserved_{0}, allocations_{0}, limit_{physical_memory()};
};

CpuAllocator& cpu_allocator() {
  static auto* allocator = new CpuAllocator;  // never destroyed: tensors of static lifetime may outlive it
  return *allocator;
}

// Ends a thread's cache with the thread. Blocks freed even later (by statics, by other thread-locals) go to the shared lists.
struct CloseCache {
  ~CloseCache() {
    thread_cache.open = false;
    for (int c = 0; c < kSmallClasses; ++c)
      while (!thread_cache.lists[c].empty()) cpu_allocator().give_back(c, thread_cache.lists[c].pop());
    cpu_allocator().count(thread_cache.tally);
  }
};

void open_cache() {
  thread_cache.opened = thread_cache.open = true;
  static thread_local CloseCache at_the_end_of_the_thread;
}

void CpuAllocator::count(Tally& tally) noexcept {
  int64_t before = live_.fetch_add(tally.live, std::memory_order_relaxed), highest = before + tally.peak;
  allocations_.fetch_add(tally.allocations, std::memory_order_relaxed);
  int64_t peak = peak_.load(std::memory_order_relaxed);
  while (highest > peak && !peak_.compare_exchange_weak(peak, highest, std::memory_order_relaxed)) {}
  tally = {};
}

void count_allocated(int64_t bytes) {
  Tally& tally = thread_cache.tally;
  tally.live += bytes;
  tally.peak = std::max(tally.peak, tally.live);
  ++tally.allocations;
  if (tally.live > kUncounted || !thread_cache.open) cpu_allocator().count(tally);
}

void count_freed(int64_t bytes) noexcept {
  Tally& tally = thread_cache.tally;
  tally.live -= bytes;
  if (tally.live < -kUncounted || !thread_cache.open) cpu_allocator().count(tally);
}

int64_t CpuAllocator::reserved() {
  std::lock_guard lock(mutex_);
  return reserved_.load() + large_.reserved();
}

void* CpuAllocator::from_system(int c, int64_t room) {
  const auto bytes = static_cast<int64_t>(class_bytes(c));
  void* block = nullptr;  // not aligned_alloc: it wants the size, too, to be a multiple of the alignment
  if (bytes > room || posix_memalign(&block, kSmallest, (class_bytes(c) + kSmallest - 1) / kSmallest * kSmallest) != 0) return nullptr;
  reserved_.fetch_add(bytes);
  return block;
}

void* CpuAllocator::find(size_t bytes, int c) {
  std::lock_guard lock(mutex_);
  const int64_t room = limit_.load() - reserved_.load() - large_.reserved();
  if (c >= kClasses) return large_.allocate(bytes, room);
  auto& list = free_[static_cast<size_t>(c)];
  if (list.empty()) return from_system(c, room);
  void* block = list.back();
  list.pop_back();
  return block;
}

void* CpuAllocator::allocate(size_t bytes, int c, const char* op, const char* what) {
  void* block = find(bytes, c);
  if (!block) {
    release_cached();
    block = find(bytes, c);
  }
  if (!block)
    throw OutOfMemoryError(std::string(op) + ": out of memory: " + mebibytes(static_cast<int64_t>(block_bytes(bytes, c))) +
                           (what[0] == '[' ? " for a tensor of shape " : " for a ") + what + "; " + mebibytes(stats().live) +
                           " are live, the limit is " + mebibytes(limit_));
  return block;
}

void CpuAllocator::give_back(int c, void* block) noexcept {
  std::lock_guard lock(mutex_);
  if (c >= kClasses) return large_.deallocate(block);
  try {
    free_[static_cast<size_t>(c)].push_back(block);
  } catch (const std::bad_alloc&) {
    std::free(block);
    reserved_.fetch_sub(static_cast<int64_t>(class_bytes(c)));
  }
}

void CpuAllocator::release_cached() {
  std::lock_guard lock(mutex_);
  for (int c = 0; c < kClasses; ++c) {
    auto& list = free_[static_cast<size_t>(c)];
    for (void* block : list) std::free(block);
    reserved_.fetch_sub(static_cast<int64_t>(class_bytes(c) * list.size()));
    list = {};
  }
  large_.release();
}

bool elsewhere(Device d) { return d.type != DeviceType::cpu; }

}  // namespace

static void* allocate_on_cpu(size_t bytes, const char* op, const char* what) {
  if (bytes >> 46) throw OutOfMemoryError(std::string(op) + ": a tensor of shape " + what + " is larger than any memory");
  int c = size_class(bytes);
  if (!thread_cache.opened) open_cache();
  bool cached = c < kSmallClasses && !thread_cache.lists[c].empty();
  void* block = cached ? thread_cache.lists[c].pop() : cpu_allocator().allocate(bytes, c, op, what);
  count_allocated(static_cast<int64_t>(block_bytes(bytes, c)));
  return block;
}

static void* allocate_on_cpu(size_t bytes, const char* op, const Dims& shape) {
  try {
    return allocate_on_cpu(bytes, op, "");
  } catch (const OutOfMemoryError&) {
    return allocate_on_cpu(bytes, op, to_string(shape).c_str());  // once more, to name the shape
  }
}

void* allocate(Device device, size_t bytes, const char* op, const char* what) {
  void* block = elsewhere(device) ? detail::device_runtime().allocate(device.index, bytes, op, nullptr) : allocate_on_cpu(bytes, op, what);
  if (watcher()) [[unlikely]] watcher()->allocated(device, block, bytes, op, what);
  return block;
}

void* allocate(Device device, size_t bytes, const char* op, const Dims& shape) {
  void* block = elsewhere(device) ? detail::device_runtime().allocate(device.index, bytes, op, &shape) : allocate_on_cpu(bytes, op, shape);
  if (watcher()) [[unlikely]] watcher()->allocated(device, block, bytes, op, to_string(shape).c_str());
  return block;
}

void deallocate(Device device, void* block, size_t bytes) noexcept {
  if (watcher()) [[unlikely]] watcher()->freed(device, block);
  if (elsewhere(device)) [[unlikely]] return detail::device_runtime_if_used()->deallocate(device.index, block, bytes);
  int c = size_class(bytes);
  count_freed(static_cast<int64_t>(block_bytes(bytes, c)));
  bool kept = c < kSmallClasses && thread_cache.open && (thread_cache.lists[c].size() + 1) * class_bytes(c) <= kThreadCacheBytes;
  if (kept) thread_cache.lists[c].push(block);
  else cpu_allocator().give_back(c, block);
}

MemoryStats memory_stats(Device device) {
  if (elsewhere(device)) return detail::device_runtime().memory_stats(device.index);
  return cpu_allocator().stats();
}
void reset_peak_memory(Device device) {
  if (elsewhere(device)) return detail::device_runtime().reset_peak_memory(device.index);
  cpu_allocator().reset_peak();
}
void release_cached_memory(Device device) {
  if (elsewhere(device)) return detail::device_runtime().release_cached_memory(device.index);
  cpu_allocator().release_cached();
}
void set_memory_limit(Device device, int64_t bytes) {
  if (elsewhere(device)) return detail::device_runtime().set_memory_limit(device.index, bytes);
  cpu_allocator().set_limit(bytes);
}

}  // namespace plumb
