// Which of several ways to do the same is the fastest on this device.
#pragma once
#include <cstddef>

#include "cuda/runtime/stream.h"
#include "engine/core/error.h"

namespace plumb::cuda_backend {

/// run(i) starts way i of `count` on the current stream; returns the i of the shortest time: the best of five after one to warm up. A way
/// that throws DeviceError is passed over; the first must not. Waits for the device: for choices that are made once.
template <typename Run>
size_t fastest(size_t count, Run&& run) {
  constexpr int kRuns = 5;
  Event begin(true), end(true);
  size_t best = 0;
  float shortest = 0;
  for (size_t i = 0; i < count; ++i) {
    float own = 0;
    try {
      run(i);
      for (int r = 0; r < kRuns; ++r) {
        begin.record();
        run(i);
        end.record();
        end.synchronize();
        float milliseconds = end.milliseconds_since(begin);
        own = r == 0 || milliseconds < own ? milliseconds : own;
      }
    } catch (const DeviceError&) {
      if (i == 0) throw;
      continue;
    }
    if (i == 0 || own < shortest) best = i, shortest = own;
  }
  return best;
}

}  // namespace plumb::cuda_backend
