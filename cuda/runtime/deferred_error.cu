// The record of errors that kernels find.
#include "cuda/runtime/deferred_error.h"

#include <atomic>
#include <string>

#include "cuda/runtime/memory.h"
#include "engine/core/error.h"
#include "engine/core/error.h"

namespace plumb::cuda_backend {
namespace {

std::atomic<DeferredError*> the_record{nullptr};

// Made when first needed and never given back: kernels may write to it until the program ends.
DeferredError* record() {
  static DeferredError* made = [] {
    auto* memory = new PinnedMemory(sizeof(DeferredError));
    auto* r = new (memory->data()) DeferredError{};
    the_record.store(r, std::memory_order_release);
    return r;
  }();
  return made;
}

}  // namespace

RangeCheck range_check(const char* op, const char* what, int64_t low, int64_t high) { return {op, what, low, high, record()}; }
ValueCheck value_check(const char* op, const char* what, const char* complaint) { return {op, what, complaint, record()}; }

void throw_deferred_error() {
  DeferredError* r = the_record.load(std::memory_order_acquire);
  if (!r || reinterpret_cast<volatile int&>(r->state) != 2) return;
  std::string message = std::string(r->op) + ": " + r->what + " ";
  bool index = !r->complaint;
  message += index ? std::to_string(r->index) + " is outside [" + std::to_string(r->low) + ", " + std::to_string(r->high) + ")"
                   : decimal(r->value) + " " + r->complaint;
  r->state = 0;
  if (index) throw IndexError(message);
  throw ValueError(message);
}

}  // namespace plumb::cuda_backend
