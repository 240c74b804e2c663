// Where a kernel's random numbers begin. In a captured step the place must move on from replay to replay, so kernels add what a word in the
// GPU's memory says; outside a capture there is none.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

#include "ops/kernels/random.h"

namespace plumb::cuda_backend {

/// A RandomPlace as kernels see it.
struct DevicePlace {
  uint64_t seed, offset;
  const uint64_t* moved;  ///< counters that replays have taken so far; null: none
  __device__ uint64_t first() const { return offset + (moved ? *moved : 0); }
};

namespace detail {
// Not a variable of the function below: on the simulated device those are shared memory, which holds NaNs when a kernel begins.
inline thread_local const uint64_t* moves_of_capture = nullptr;
}  // namespace detail
/// The word that kernels launched by this thread from now on add to their places, in the GPU's memory; null outside a capture. For the
/// code that captures a step, which moves it on before every replay.
inline const uint64_t*& captured_moves() { return detail::moves_of_capture; }
inline DevicePlace device_place(uint64_t seed, uint64_t offset) { return {seed, offset, captured_moves()}; }
inline DevicePlace device_place(RandomPlace place) { return device_place(place.seed, place.offset); }

}  // namespace plumb::cuda_backend
