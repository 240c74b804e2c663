// The replaced and the wrapped allocation functions.
#include "tests/faults/memory.h"

#include <atomic>
#include <climits>
#include <cstdlib>
#include <new>
#include <string>

#include "engine/core/allocator.h"
#include "engine/core/error.h"
#include "engine/core/shape.h"

namespace plumb_test::memory {
namespace {

constexpr int kNone = -1;
std::atomic<int> counted_kind{kNone};
std::atomic<long> count{0}, first{0}, last{0}, held{0};

bool fails(Kind kind) {
  if (counted_kind.load(std::memory_order_relaxed) != static_cast<int>(kind)) return false;
  long n = count.fetch_add(1);
  return n >= first && n <= last;
}

void* take(size_t bytes, size_t alignment) {
  if (fails(Kind::objects)) return nullptr;
  void* block = nullptr;
  if (posix_memalign(&block, alignment, bytes ? bytes : 1) != 0) return nullptr;
  ++held;
  return block;
}

void* take_or_throw(size_t bytes, size_t alignment = __STDCPP_DEFAULT_NEW_ALIGNMENT__) {
  void* block = take(bytes, alignment);
  if (!block) throw std::bad_alloc();
  return block;
}

void give(void* block) noexcept {
  if (block) --held;
  std::free(block);
}

void check(const char* op, const std::string& shape) {
  if (fails(Kind::tensors))
    throw plumb::OutOfMemoryError(std::string(op) + ": out of memory, as the test wants, for a tensor of shape " + shape);
}

}  // namespace

void fail_at(Kind kind, long n, Lasting lasting) {
  count = 0;
  first = n < 0 ? LONG_MAX : n;
  last = lasting == Lasting::once ? n : LONG_MAX;
  counted_kind = static_cast<int>(kind);
}

long end() {
  counted_kind = kNone;
  return count;
}

long objects_held() { return held; }

}  // namespace plumb_test::memory

using plumb_test::memory::give;
using plumb_test::memory::take;
using plumb_test::memory::take_or_throw;

void* operator new(size_t bytes) { return take_or_throw(bytes); }
void* operator new[](size_t bytes) { return take_or_throw(bytes); }
void* operator new(size_t bytes, std::align_val_t alignment) { return take_or_throw(bytes, static_cast<size_t>(alignment)); }
void* operator new[](size_t bytes, std::align_val_t alignment) { return take_or_throw(bytes, static_cast<size_t>(alignment)); }
void* operator new(size_t bytes, const std::nothrow_t&) noexcept { return take(bytes, __STDCPP_DEFAULT_NEW_ALIGNMENT__); }
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept { return take(bytes, __STDCPP_DEFAULT_NEW_ALIGNMENT__); }
void operator delete(void* block) noexcept { give(block); }
void operator delete[](void* block) noexcept { give(block); }
void operator delete(void* block, size_t) noexcept { give(block); }
void operator delete[](void* block, size_t) noexcept { give(block); }
void operator delete(void* block, std::align_val_t) noexcept { give(block); }
void operator delete[](void* block, std::align_val_t) noexcept { give(block); }
void operator delete(void* block, size_t, std::align_val_t) noexcept { give(block); }
void operator delete[](void* block, size_t, std::align_val_t) noexcept { give(block); }
void operator delete(void* block, const std::nothrow_t&) noexcept { give(block); }
void operator delete[](void* block, const std::nothrow_t&) noexcept { give(block); }

// plumb::allocate(Device, size_t, const char*, const Dims&) and (…, const char*) under the names that the linker knows.
namespace plumb_test {

void* allocate_shape(plumb::Device device, size_t bytes, const char* op,
                     const plumb::Dims& shape) asm("__real__ZN5plumb8allocateENS_6DeviceEmPKcRKNS_4DimsE");
void* allocate_text(plumb::Device device, size_t bytes, const char* op,
                    const char* what) asm("__real__ZN5plumb8allocateENS_6DeviceEmPKcS2_");
void* wrapped_shape(plumb::Device device, size_t bytes, const char* op,
                    const plumb::Dims& shape) asm("__wrap__ZN5plumb8allocateENS_6DeviceEmPKcRKNS_4DimsE");
void* wrapped_text(plumb::Device device, size_t bytes, const char* op,
                   const char* what) asm("__wrap__ZN5plumb8allocateENS_6DeviceEmPKcS2_");

void* wrapped_shape(plumb::Device device, size_t bytes, const char* op, const plumb::Dims& shape) {
  memory::check(op, plumb::to_string(shape));
  return allocate_shape(device, bytes, op, shape);
}
void* wrapped_text(plumb::Device device, size_t bytes, const char* op, const char* what) {
  memory::check(op, what);
  return allocate_text(device, bytes, op, what);
}

}  // namespace plumb_test
