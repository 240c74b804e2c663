// Errors that only a kernel can see: an index out of its range, or a probability, among numbers that lie on the GPU. Looking before the
// kernel runs would make the host wait each time; so the kernel looks, leaves such an element out, and the host throws where it next waits
// for the GPU.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

namespace plumb::cuda_backend {

/// What a kernel has found, in pinned memory that the host reads without asking the GPU.
struct DeferredError {
  int state;  ///< 0 nothing, 1 being written, 2 complete
  const char *op, *what, *complaint;  ///< complaint: null for an index
  int64_t index, low, high;
  double value;

  /// Whether this thread is the first to report, and may write.
  __device__ bool begin() { return atomicCAS(&state, 0, 1) == 0; }
  __device__ void end() {
    __threadfence_system();
    state = 2;
  }
};

/// Given to a kernel: the range that indices must lie in. `op` and `what` are literals: "gather", "index".
struct RangeCheck {
  const char *op, *what;
  int64_t low, high;
  DeferredError* record;

  /// Whether index lies outside [low, high). The first such one is reported.
  __device__ bool outside(int64_t index) const {
    if (index >= low && index < high) return false;
    if (!record->begin()) return true;
    record->op = op, record->what = what, record->complaint = nullptr;
    record->index = index, record->low = low, record->high = high;
    record->end();
    return true;
  }
};

/// Given to a kernel that refuses numbers. All three are literals: "binary_cross_entropy", "target", "is outside [0, 1]".
struct ValueCheck {
  const char *op, *what, *complaint;
  DeferredError* record;

  __device__ void report(double value) const {
    if (!record->begin()) return;
    record->op = op, record->what = what, record->complaint = complaint;
    record->value = value;
    record->end();
  }
};

RangeCheck range_check(const char* op, const char* what, int64_t low, int64_t high);
ValueCheck value_check(const char* op, const char* what, const char* complaint);

/// Throws IndexError "op: what index is outside [low, high)" or ValueError "op: what value complaint" for what kernels that have ended
/// reported, once. Called wherever the host has waited for the GPU.
void throw_deferred_error();

}  // namespace plumb::cuda_backend
