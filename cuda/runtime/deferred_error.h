// Errors that only a kernel can see: an index out of its range among numbers that lie on the GPU. Looking before the kernel runs would make
// the host wait each time; so the kernel looks, leaves such an element out, and the host throws where it next waits for the GPU.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

namespace plumb::cuda_backend {

/// What a kernel has found, in pinned memory that the host reads without asking the GPU.
struct DeferredError {
  int state;  ///< 0 nothing, 1 being written, 2 complete
  const char *op, *what;
  int64_t value, low, high;
};

/// Given to a kernel: the range that numbers must lie in. `op` and `what` are literals: "gather", "index".
struct RangeCheck {
  const char *op, *what;
  int64_t low, high;
  DeferredError* record;

  /// Whether value lies outside [low, high). The first such one is reported.
  __device__ bool outside(int64_t value) const {
    if (value >= low && value < high) return false;
    if (atomicCAS(&record->state, 0, 1) == 0) {
      record->op = op;
      record->what = what;
      record->value = value;
      record->low = low;
      record->high = high;
      __threadfence_system();
      record->state = 2;
    }
    return true;
  }
};
RangeCheck range_check(const char* op, const char* what, int64_t low, int64_t high);

/// Throws IndexError "op: what value is outside [low, high)" for what kernels that have ended reported, once. Called wherever the host has
/// waited for the GPU.
void throw_deferred_error();

}  // namespace plumb::cuda_backend
