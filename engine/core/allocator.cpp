// The CPU's caching allocator. Sizes are rounded to classes (four a power of two); small classes have a cache in each thread,
// the rest share lists under a lock. Blocks of 2 MiB and more are aligned for huge pages.
#include "engine/core/allocator.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

#include "engine/core/error.h"

namespace plumb {
namespace {

constexpr size_t kSmallest = 64, kSmallLimit = 4096, kHugePage = size_t{1} << 21;
constexpr int kClasses = 4 * 48;
constexpr size_t kThreadCacheBlocks = 64;

// Class c holds blocks of 64·2^(c/4)·(1 + (c%4)/4) bytes, each a multiple of 16.
size_t class_bytes(int c) { return (kSmallest << (c / 4)) / 4 * static_cast<size_t>(4 + c % 4); }

int size_class(size_t bytes) {
  if (bytes <= kSmallest) return 0;
  int power = std::bit_width(bytes - 1) - 7;  // 64·2^power < bytes ≤ 64·2^(power+1)
  size_t quarter = (kSmallest << power) / 4;
  return 4 * power + static_cast<int>((bytes + quarter - 1) / quarter) - 4;
}

std::string mebibytes(int64_t bytes) { return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB"; }

struct ThreadCache;

class CpuAllocator {
 public:
  void* allocate(size_t bytes, const char* op, const char* what);
  void deallocate(void* block, size_t bytes) noexcept;
  MemoryStats stats() const {
    return {live_.load(), peak_.load(), reserved_.load(), allocations_.load()};
  }
  void reset_peak() { peak_ = live_.load(); }
  void release_cached();
  void set_limit(int64_t bytes) { limit_ = bytes > 0 ? bytes : physical_memory(); }
  void give_back(int c, void* block) noexcept {
    std::lock_guard lock(mutex_);
    free_[static_cast<size_t>(c)].push_back(block);
  }

 private:
  static int64_t physical_memory() { return int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGE_SIZE); }
  void* from_system(int c);
  void count(int64_t block) {
    int64_t live = live_.fetch_add(block, std::memory_order_relaxed) + block;
    allocations_.fetch_add(1, std::memory_order_relaxed);
    int64_t peak = peak_.load(std::memory_order_relaxed);
    while (live > peak && !peak_.compare_exchange_weak(peak, live, std::memory_order_relaxed)) {}
  }

  std::mutex mutex_;
  std::array<std::vector<void*>, kClasses> free_;
  std::atomic<int64_t> live_{0}, peak_{0}, reserved_{0}, allocations_{0}, limit_{physical_memory()};
};

CpuAllocator& cpu_allocator() {
  static auto* allocator = new CpuAllocator;  // never destroyed: tensors of static lifetime may outlive it
  return *allocator;
}

// Small blocks that this thread freed and will probably ask for again at once.
struct ThreadCache {
  struct List {
    size_t size = 0;
    std::array<void*, kThreadCacheBlocks> blocks;
  };
  std::array<List, 4 * 6 + 1> lists;
  ~ThreadCache() {
    alive = false;
    for (size_t c = 0; c < lists.size(); ++c)
      while (lists[c].size) cpu_allocator().give_back(static_cast<int>(c), lists[c].blocks[--lists[c].size]);
  }
  static thread_local bool alive;
};
thread_local bool ThreadCache::alive = true;
thread_local ThreadCache thread_cache;

void* CpuAllocator::from_system(int c) {
  size_t bytes = class_bytes(c);
  if (reserved_.load() + static_cast<int64_t>(bytes) > limit_.load()) return nullptr;
  void* block = nullptr;  // not aligned_alloc: it wants the size, too, to be a multiple of the alignment
  if (posix_memalign(&block, bytes >= kHugePage ? kHugePage : kSmallest, (bytes + kSmallest - 1) / kSmallest * kSmallest) != 0) return nullptr;
  if (bytes >= kHugePage) madvise(block, bytes, MADV_HUGEPAGE);
  reserved_.fetch_add(static_cast<int64_t>(bytes));
  return block;
}

void* CpuAllocator::allocate(size_t bytes, const char* op, const char* what) {
  int c = bytes >> 46 ? kClasses : size_class(bytes);
  if (c >= kClasses) throw OutOfMemoryError(std::string(op) + ": a tensor of shape " + what + " is larger than any memory");
  auto block_bytes = static_cast<int64_t>(class_bytes(c));
  if (bytes <= kSmallLimit && ThreadCache::alive) {
    auto& list = thread_cache.lists[static_cast<size_t>(c)];
    if (list.size) {
      count(block_bytes);
      return list.blocks[--list.size];
    }
  }
  void* block = nullptr;
  {
    std::lock_guard lock(mutex_);
    auto& list = free_[static_cast<size_t>(c)];
    if (!list.empty()) {
      block = list.back();
      list.pop_back();
    }
  }
  if (!block) block = from_system(c);
  if (!block) {
    release_cached();
    block = from_system(c);
  }
  if (!block)
    throw OutOfMemoryError(std::string(op) + ": out of memory: " + mebibytes(block_bytes) + " for a tensor of shape " + what + "; " +
                           mebibytes(live_) + " are live, the limit is " + mebibytes(limit_));
  count(block_bytes);
  return block;
}

void CpuAllocator::deallocate(void* block, size_t bytes) noexcept {
  int c = size_class(bytes);
  live_.fetch_sub(static_cast<int64_t>(class_bytes(c)), std::memory_order_relaxed);
  if (bytes <= kSmallLimit && ThreadCache::alive) {
    auto& list = thread_cache.lists[static_cast<size_t>(c)];
    if (list.size < kThreadCacheBlocks) {
      list.blocks[list.size++] = block;
      return;
    }
  }
  give_back(c, block);
}

void CpuAllocator::release_cached() {
  std::lock_guard lock(mutex_);
  for (int c = 0; c < kClasses; ++c) {
    auto& list = free_[static_cast<size_t>(c)];
    for (void* block : list) std::free(block);
    reserved_.fetch_sub(static_cast<int64_t>(class_bytes(c) * list.size()));
    list = {};
  }
}

void require_cpu(Device d) {
  if (d.type != DeviceType::cpu) throw DeviceError("memory: " + to_string(d) + " is not available in this build");
}

}  // namespace

void* allocate(Device device, size_t bytes, const char* op, const char* what) {
  require_cpu(device);
  return cpu_allocator().allocate(bytes, op, what);
}
void deallocate(Device, void* block, size_t bytes) noexcept { cpu_allocator().deallocate(block, bytes); }
MemoryStats memory_stats(Device device) {
  require_cpu(device);
  return cpu_allocator().stats();
}
void reset_peak_memory(Device device) {
  require_cpu(device);
  cpu_allocator().reset_peak();
}
void release_cached_memory(Device device) {
  require_cpu(device);
  cpu_allocator().release_cached();
}
void set_memory_limit(Device device, int64_t bytes) {
  require_cpu(device);
  cpu_allocator().set_limit(bytes);
}

}  // namespace plumb
