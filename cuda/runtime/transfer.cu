// The copying streams, and what is pinned.
#include "cuda/runtime/transfer.h"

#include <array>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "cuda/runtime/device.h"
#include "cuda/runtime/error.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/stream.h"
#include "engine/core/error.h"

namespace plumb::cuda_backend {
namespace {

constexpr int kMostDevices = 64;

// Never destroyed: batches of static lifetime are freed on it.
cudaStream_t upload_stream(int device) {
  static std::array<std::once_flag, kMostDevices> once;
  static std::array<Stream*, kMostDevices> streams;
  auto d = static_cast<size_t>(device);
  std::call_once(once[d], [d] { streams[d] = new Stream; });
  return streams[d]->get();
}

struct Pinned {
  std::mutex mutex;
  std::unordered_map<void*, std::unique_ptr<PinnedMemory>> blocks;
};
Pinned& pinned_blocks() {
  static auto& all = *new Pinned;
  return all;
}

void* pin(size_t bytes) {
  auto memory = std::make_unique<PinnedMemory>(bytes);
  std::lock_guard lock(pinned_blocks().mutex);
  void* block = memory->data();
  pinned_blocks().blocks[block] = std::move(memory);
  return block;
}
void unpin(void* block, size_t) noexcept {
  std::lock_guard lock(pinned_blocks().mutex);
  pinned_blocks().blocks.erase(block);
}

// When a copy is there, and on which device it is to be waited for.
struct Arrival {
  int device;
  Event done;
};

void* start(int index, const void* pinned, size_t bytes, void** event) {
  make_current(index);
  cudaStream_t stream = upload_stream(index);
  Event given;
  given.record();
  given.make_wait(stream);
  StreamScope scope(stream);
  void* block = allocate(bytes, "upload");
  try {
    check(cudaMemcpyAsync(block, pinned, bytes, cudaMemcpyHostToDevice, stream), "upload");
    auto arrival = std::make_unique<Arrival>();
    arrival->device = index;
    arrival->done.record(stream);
    *event = arrival.release();
  } catch (...) {
    deallocate(block);
    throw;
  }
  return block;
}

void wait(void* event) {
  auto* arrival = static_cast<Arrival*>(event);
  make_current(arrival->device);
  arrival->done.make_wait();
}

void finish(void* event) noexcept {
  std::unique_ptr<Arrival> arrival(static_cast<Arrival*>(event));
  try {
    arrival->done.synchronize();
  } catch (const DeviceError&) {
    // What went wrong on the device shows at the next call that can say so.
  }
}

}  // namespace

plumb::detail::TransferRuntime transfer_runtime() { return {pin, unpin, start, wait, finish}; }

}  // namespace plumb::cuda_backend
