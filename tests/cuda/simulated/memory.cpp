// The simulated device's memory: a region of addresses that is closed to the host except while a kernel or a copy runs.
#include <sys/mman.h>

#include <cstdlib>
#include <map>
#include <mutex>

#include "tests/cuda/simulated/device.h"
#include "tests/cuda/simulated/runtime.h"

namespace plumb::simulated {
namespace {

constexpr size_t kRegion = size_t{256} << 30,
                 kStep = size_t{2} << 20;  // blocks are huge pages: opening and closing many small ones is slow

std::byte* reserved_addresses() {
  auto* at = static_cast<std::byte*>(mmap(nullptr, kRegion + kStep, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  at += (kStep - reinterpret_cast<uintptr_t>(at) % kStep) % kStep;
  madvise(at, kRegion, MADV_HUGEPAGE);
  return at;
}

struct Region {
  std::byte* start = reserved_addresses();
  size_t used = 0;                    // addresses ever handed out lie below start + used
  size_t size = size_t{8} << 30;      // of the pretended memory
  size_t allocated = 0;
  int open = 0;                       // how many want it open
  std::map<std::byte*, size_t> live;
  std::multimap<size_t, std::byte*> free;
  std::map<void*, size_t> pinned;
  std::recursive_mutex mutex;
};
Region& region() {
  static auto& r = *new Region;
  return r;
}

void protect(Region& r) {
  if (r.used) mprotect(r.start, r.used, r.open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

}  // namespace

OpenMemory::OpenMemory() {
  std::lock_guard lock(region().mutex);
  if (region().open++ == 0) protect(region());
}
OpenMemory::~OpenMemory() {
  std::lock_guard lock(region().mutex);
  if (--region().open == 0) protect(region());
}

void set_memory_size(size_t bytes) { region().size = bytes; }

bool is_device_memory(const void* at) {
  auto* p = static_cast<const std::byte*>(at);
  return p >= region().start && p < region().start + kRegion;
}

bool is_pinned(const void* at) {
  std::lock_guard lock(region().mutex);
  auto after = region().pinned.upper_bound(const_cast<void*>(at));
  if (after == region().pinned.begin()) return false;
  --after;
  return static_cast<const std::byte*>(at) < static_cast<std::byte*>(after->first) + after->second;
}

}  // namespace plumb::simulated

using namespace plumb::simulated;

cudaError_t cudaMalloc(void** at, size_t bytes) {
  Region& r = region();
  std::lock_guard lock(r.mutex);
  bytes = (bytes + kStep - 1) / kStep * kStep;
  if (r.allocated + bytes > r.size || r.used + bytes > kRegion) return cudaErrorMemoryAllocation;
  std::byte* block = nullptr;
  if (auto found = r.free.find(bytes); found != r.free.end()) {
    block = found->second;
    r.free.erase(found);
  } else {
    block = r.start + r.used;
    r.used += bytes + kStep;  // a gap between blocks
    mprotect(block, bytes, r.open ? PROT_READ | PROT_WRITE : PROT_NONE);
  }
  r.live[block] = bytes;
  r.allocated += bytes;
  *at = block;
  return cudaSuccess;
}

cudaError_t cudaFree(void* at) {
  if (!at) return cudaSuccess;
  if (cudaError_t status = cudaDeviceSynchronize(); status != cudaSuccess) return status;
  Region& r = region();
  std::lock_guard lock(r.mutex);
  auto found = r.live.find(static_cast<std::byte*>(at));
  if (found == r.live.end()) return cudaErrorInvalidValue;
  madvise(at, found->second, MADV_DONTNEED);
  r.allocated -= found->second;
  r.free.emplace(found->second, found->first);
  r.live.erase(found);
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** at, size_t bytes) {
  *at = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  if (!*at) return cudaErrorMemoryAllocation;
  std::lock_guard lock(region().mutex);
  region().pinned[*at] = bytes;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* at) {
  std::lock_guard lock(region().mutex);
  region().pinned.erase(at);
  std::free(at);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = region().size;
  *free = region().size - region().allocated;
  return cudaSuccess;
}
