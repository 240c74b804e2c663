// Recording what a thread gives the GPU, to start it again with one call a part.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "cuda/runtime/memory.h"
#include "cuda/runtime/stream.h"
#include "engine/core/device_runtime.h"

namespace plumb::cuda_backend {

/// Whether the current stream records instead of running. What would have to wait for the GPU then cannot be done.
bool is_capturing();
/// Host memory that a recorded copy reads stays until the recording is destroyed. Only while recording.
void keep_for_replays(PinnedMemory memory);

/// One or more parts of work that were recorded one after the other, on one device. They share memory that nothing else uses: what was
/// allocated while a part was recorded, so that a part finds what an earlier one left.
class Recording {
 public:
  /// On the current device.
  Recording();
  ~Recording();
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  /// Until end(), the thread's work on the current device is recorded.
  void begin();
  /// Returns the part's number. A part in which nothing was recorded costs nothing to start.
  size_t end();
  /// Gives up the part that is being recorded.
  void abandon() noexcept;
  /// Starts the part on the current stream, with its random draws `shift` counters further on than when it was recorded.
  void launch(size_t part, uint64_t shift);

 private:
  friend void keep_for_replays(PinnedMemory memory);
  void leave() noexcept;
  int device_;
  Stream stream_;
  std::unique_ptr<Scratch<uint64_t>> moved_;  // what recorded kernels add to their places (cuda/runtime/random_place.h)
  uint64_t moved_by_ = 0;
  std::unique_ptr<StreamScope> scope_;  // while a part is recorded
  std::vector<cudaGraphExec_t> parts_;  // null for one without work
  std::vector<PinnedMemory> kept_;
  Event replayed_;  // of the newest launch: until then the GPU reads what is kept
};

plumb::detail::GraphRuntime graph_runtime();

}  // namespace plumb::cuda_backend
