// The caching allocator: best fit among freed blocks, which are cut and joined within the segments that came from the driver.
#include "cuda/runtime/memory.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <unordered_map>
#include <vector>

#include "cuda/runtime/device.h"
#include "cuda/runtime/error.h"
#include "cuda/runtime/graph.h"
#include "cuda/runtime/stream.h"
#include "engine/core/error.h"

namespace plumb::cuda_backend {
namespace {

constexpr size_t kGranule = 512;                     // sizes and addresses are multiples of it
constexpr size_t kSmall = size_t{1} << 20;           // blocks up to this come from segments of their own, so that they do not
constexpr size_t kSmallSegment = size_t{2} << 20;    // break up the room for large ones
constexpr size_t kLargeSegment = size_t{32} << 20;   // at least; larger blocks get what they need, in steps of 2 MiB

size_t rounded(size_t bytes, size_t step) { return (bytes + step - 1) / step * step; }

struct Pool;
struct Block {
  std::byte* data;
  size_t bytes;
  Pool* pool;
  Block* before = nullptr;  // neighbours in the segment
  Block* after = nullptr;
  bool free = true;
  const char* op = "";
  Shape shape;
};

struct SmallestFirst {
  bool operator()(const Block* a, const Block* b) const { return a->bytes != b->bytes ? a->bytes < b->bytes : a->data < b->data; }
};
// Freed blocks of one stream and one kind (small or large).
struct Pool {
  bool small;
  std::set<Block*, SmallestFirst> free;
};

// The pages of a segment must come from the driver even while a graph is captured; they stay, so the graph may use them.
class AllowInCapture {
 public:
  AllowInCapture() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  ~AllowInCapture() { cudaThreadExchangeStreamCaptureMode(&mode_); }

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

std::string size_text(int64_t bytes) {
  char text[32];
  if (bytes >= int64_t{1} << 30) std::snprintf(text, sizeof text, "%.1f GiB", static_cast<double>(bytes) / (1 << 30));
  else std::snprintf(text, sizeof text, "%.1f MiB", static_cast<double>(bytes) / (1 << 20));
  return text;
}

class DeviceMemory {
 public:
  explicit DeviceMemory(int device) : device_(device) {}
  void* allocate(size_t bytes, cudaStream_t stream, const char* op, const Shape* shape);
  /// False if the block is another device's.
  bool deallocate(void* data) noexcept;
  void release_cached();
  std::string live_text(int groups);
  MemoryStats stats() {
    std::lock_guard lock(mutex_);
    return stats_;
  }
  void reset_peak() {
    std::lock_guard lock(mutex_);
    stats_.peak = stats_.live;
  }
  void set_limit(int64_t bytes) {
    std::lock_guard lock(mutex_);
    limit_ = bytes;
  }
  void keep(cudaStream_t stream, bool on) {
    std::lock_guard lock(mutex_);
    if (on) kept_.insert(stream);
    else kept_.erase(stream);
  }

 private:
  Block* find(Pool& pool, size_t bytes);
  Block* new_segment(Pool& pool, size_t bytes);
  void cut(Block* block, size_t bytes);
  Block* join(Block* first, Block* second);
  void release_segments();
  [[noreturn]] void out_of_memory(size_t bytes, const char* op, const Shape* shape);
  std::string live_groups(int groups);

  int device_;
  std::mutex mutex_;
  std::map<std::pair<cudaStream_t, bool>, Pool> pools_;
  std::unordered_map<void*, Block*> live_;
  std::set<cudaStream_t> kept_;  // whose segments stay
  MemoryStats stats_;
  int64_t limit_ = 0;
};

Block* DeviceMemory::find(Pool& pool, size_t bytes) {
  Block wanted{nullptr, bytes, nullptr};
  auto best = pool.free.lower_bound(&wanted);
  if (best == pool.free.end()) return nullptr;
  Block* block = *best;
  pool.free.erase(best);
  return block;
}

Block* DeviceMemory::new_segment(Pool& pool, size_t bytes) {
  size_t size = pool.small ? kSmallSegment : rounded(std::max(bytes, kLargeSegment), kSmallSegment);
  if (limit_ > 0 && stats_.reserved + static_cast<int64_t>(size) > limit_) size = bytes;
  if (limit_ > 0 && stats_.reserved + static_cast<int64_t>(size) > limit_) return nullptr;
  void* data = nullptr;
  AllowInCapture allow;
  if (cudaMalloc(&data, size) != cudaSuccess) {
    cudaGetLastError();  // running out is handled here; the next launch must not report it
    return nullptr;
  }
  stats_.reserved += static_cast<int64_t>(size);
  return new Block{static_cast<std::byte*>(data), size, &pool};
}

// Leaves `bytes` in the block and frees the rest, if it is worth keeping apart.
void DeviceMemory::cut(Block* block, size_t bytes) {
  size_t rest = block->bytes - bytes;
  if (rest < (block->pool->small ? kGranule : kSmall)) return;
  Block* second = new Block{block->data + bytes, rest, block->pool, block, block->after};
  if (second->after) second->after->before = second;
  block->after = second;
  block->bytes = bytes;
  block->pool->free.insert(second);
}

Block* DeviceMemory::join(Block* first, Block* second) {
  first->bytes += second->bytes;
  first->after = second->after;
  if (first->after) first->after->before = first;
  delete second;
  return first;
}

void* DeviceMemory::allocate(size_t bytes, cudaStream_t stream, const char* op, const Shape* shape) {
  bytes = rounded(std::max<size_t>(bytes, 1), kGranule);
  std::lock_guard lock(mutex_);
  bool small = bytes <= kSmall;
  Pool& pool = pools_.try_emplace({stream, small}, Pool{small, {}}).first->second;
  Block* block = find(pool, bytes);
  if (!block) block = new_segment(pool, bytes);
  if (!block) {
    release_segments();
    block = new_segment(pool, bytes);
  }
  if (!block) out_of_memory(bytes, op, shape);
  cut(block, bytes);
  block->free = false;
  block->op = op;
  block->shape = shape ? *shape : Shape{};
  live_[block->data] = block;
  stats_.live += static_cast<int64_t>(block->bytes);
  stats_.peak = std::max(stats_.peak, stats_.live);
  ++stats_.allocations;
  return block->data;
}

bool DeviceMemory::deallocate(void* data) noexcept {
  std::lock_guard lock(mutex_);
  auto found = live_.find(data);
  if (found == live_.end()) return false;
  Block* block = found->second;
  live_.erase(found);
  stats_.live -= static_cast<int64_t>(block->bytes);
  Pool& pool = *block->pool;
  block->free = true;
  if (block->after && block->after->free) {
    pool.free.erase(block->after);
    block = join(block, block->after);
  }
  if (block->before && block->before->free) {
    pool.free.erase(block->before);
    block = join(block->before, block);
  }
  pool.free.insert(block);
  return true;
}

// Segments without a live block go back to the driver, which waits for kernels that still use them.
void DeviceMemory::release_segments() {
  AllowInCapture allow;
  for (auto& [key, pool] : pools_) {
    if (kept_.contains(key.first)) continue;
    for (auto it = pool.free.begin(); it != pool.free.end();) {
      Block* block = *it;
      bool whole_segment = !block->before && !block->after;
      if (!whole_segment) {
        ++it;
        continue;
      }
      cudaFree(block->data);
      stats_.reserved -= static_cast<int64_t>(block->bytes);
      it = pool.free.erase(it);
      delete block;
    }
  }
}

void DeviceMemory::release_cached() {
  std::lock_guard lock(mutex_);
  release_segments();
}

std::string DeviceMemory::live_groups(int groups) {
  struct Group {
    int64_t bytes = 0, count = 0;
  };
  std::map<std::string, Group> by_name;
  for (const auto& [data, block] : live_) {
    Group& group = by_name[block->op + std::string(" ") + to_string(block->shape)];
    group.bytes += static_cast<int64_t>(block->bytes);
    ++group.count;
  }
  std::vector<std::pair<std::string, Group>> sorted(by_name.begin(), by_name.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second.bytes > b.second.bytes; });
  std::string text;
  int64_t rest = 0;
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (i >= static_cast<size_t>(groups)) {
      rest += sorted[i].second.bytes;
      continue;
    }
    text +=
        (i ? ", " : "") + size_text(sorted[i].second.bytes) + " in " + std::to_string(sorted[i].second.count) + " of " + sorted[i].first;
  }
  if (rest > 0) text += ", " + size_text(rest) + " in others";
  return text.empty() ? "nothing" : text;
}

std::string DeviceMemory::live_text(int groups) {
  std::lock_guard lock(mutex_);
  return live_groups(groups);
}

void DeviceMemory::out_of_memory(size_t bytes, const char* op, const Shape* shape) {
  size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  std::string what = shape ? " for a tensor of shape " + to_string(*shape) : "";
  std::string limit = limit_ > 0 ? "the limit is " + size_text(limit_)
                                 : size_text(static_cast<int64_t>(free)) + " of " + size_text(static_cast<int64_t>(total)) + " are free";
  throw OutOfMemoryError(std::string(op) + ": out of memory on cuda:" + std::to_string(device_) + ": " +
                         size_text(static_cast<int64_t>(bytes)) + what + "; " + limit + ", " + size_text(stats_.live) +
                         " are live: " + live_groups(6));
}

// Never destroyed: tensors of static lifetime may outlive it.
DeviceMemory& memory_of(int device) {
  static auto& all = *new std::vector<std::unique_ptr<DeviceMemory>>([] {
    std::vector<std::unique_ptr<DeviceMemory>> made;
    for (int i = 0; i < device_count(); ++i) made.push_back(std::make_unique<DeviceMemory>(i));
    return made;
  }());
  properties(device);  // throws if it is not there
  return *all[static_cast<size_t>(device)];
}

bool poisons() {
  static const bool on = std::getenv("PLUMB_POISON_MEMORY") != nullptr;
  return on;
}

// Pinned blocks by size: asking the driver for one takes a millisecond.
struct PinnedCache {
  std::mutex mutex;
  std::multimap<size_t, void*> free;
};
PinnedCache& pinned_cache() {
  static auto& cache = *new PinnedCache;
  return cache;
}

// Four sizes to every power of two, so that batches whose lengths change find each other's blocks. At least a page.
size_t pinned_size(size_t bytes) {
  size_t step = std::max<size_t>(std::bit_floor(bytes) / 4, 4096);
  return rounded(std::max<size_t>(bytes, 1), step);
}

void release_pinned_memory() {
  PinnedCache& cache = pinned_cache();
  std::lock_guard lock(cache.mutex);
  while (!cache.free.empty()) check(cudaFreeHost(cache.free.extract(cache.free.begin()).mapped()), "pinned memory");
}

}  // namespace

void* allocate(size_t bytes, const char* op, const Shape* shape) {
  cudaStream_t stream = current_stream();
  void* block = memory_of(current_device()).allocate(bytes, stream, op, shape);
  if (poisons()) check(cudaMemsetAsync(block, 0xFF, bytes, stream), "allocate");
  return block;
}

void deallocate(void* block) noexcept {
  for (int i = 0; i < device_count(); ++i)
    if (memory_of(i).deallocate(block)) return;
}

void keep_memory_of(cudaStream_t stream, bool on) { memory_of(current_device()).keep(stream, on); }

MemoryStats memory_stats(int device) { return memory_of(device).stats(); }
void reset_peak_memory(int device) { memory_of(device).reset_peak(); }
void release_cached_memory(int device) {
  memory_of(device).release_cached();
  release_pinned_memory();
}
void set_memory_limit(int device, int64_t bytes) { memory_of(device).set_limit(bytes); }

PinnedMemory::PinnedMemory(size_t bytes) : data_(nullptr), bytes_(pinned_size(bytes)) {
  {
    PinnedCache& cache = pinned_cache();
    std::lock_guard lock(cache.mutex);
    if (auto found = cache.free.lower_bound(bytes_); found != cache.free.end() && found->first <= 2 * bytes_) {
      data_ = found->second;
      bytes_ = found->first;
      cache.free.erase(found);
      return;
    }
  }
  current_device();
  AllowInCapture allow;
  check(cudaMallocHost(&data_, bytes_), "pinned memory");
}

PinnedMemory::~PinnedMemory() {
  if (!data_) return;
  PinnedCache& cache = pinned_cache();
  std::lock_guard lock(cache.mutex);
  cache.free.emplace(bytes_, data_);
}

void copy_to_host(void* to, const void* from, size_t bytes) {
  if (is_capturing())
    throw DeviceError(
        "copy to the host: a step that is captured cannot wait for the GPU: do it outside of the step, or in eagerly() "
        "(engine/core/capture.h)");
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, current_stream()), "copy to the host");
  synchronize_stream();
}

}  // namespace plumb::cuda_backend
