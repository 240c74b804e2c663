// Staging memory for uploads. A piece is used again once the copy from it has run.
#include "cuda/runtime/upload.h"

#include <cstring>
#include <list>
#include <memory>
#include <mutex>

#include "cuda/runtime/device.h"
#include "cuda/runtime/error.h"
#include "cuda/runtime/graph.h"
#include "cuda/runtime/stream.h"

namespace plumb::cuda_backend {
namespace {

struct Piece {
  explicit Piece(size_t bytes) : memory(bytes) {}
  PinnedMemory memory;
  int device = current_device();  ///< on whose streams the event can be recorded
  Event copied;
};
struct Staging {
  std::mutex mutex;
  std::list<std::unique_ptr<Piece>> pieces;  ///< the longest in use first
};
Staging& staging() {
  static auto& all = *new Staging;
  return all;
}

// A piece of the current device with room for `bytes` that no copy reads any more.
std::unique_ptr<Piece> take_piece(Staging& all, size_t bytes) {
  for (auto it = all.pieces.begin(); it != all.pieces.end(); ++it) {
    if ((*it)->device != current_device() || (*it)->memory.bytes() < bytes || !(*it)->copied.done()) continue;
    auto piece = std::move(*it);
    all.pieces.erase(it);
    return piece;
  }
  return std::make_unique<Piece>(bytes);
}

}  // namespace

static void copy_to_device(void* to, const PinnedMemory& staged, const void* from, size_t bytes, cudaStream_t stream) {
  std::memcpy(staged.data(), from, bytes);
  check(cudaMemcpyAsync(to, staged.data(), bytes, cudaMemcpyHostToDevice, stream), "upload");
}

void upload(void* to, const void* from, size_t bytes) {
  cudaStream_t stream = current_stream();
  if (is_capturing()) {
    PinnedMemory kept(bytes);
    copy_to_device(to, kept, from, bytes, stream);
    return keep_for_replays(std::move(kept));
  }
  Staging& all = staging();
  std::lock_guard lock(all.mutex);
  auto piece = take_piece(all, bytes);
  copy_to_device(to, piece->memory, from, bytes, stream);
  piece->copied.record(stream);
  all.pieces.push_back(std::move(piece));
}

}  // namespace plumb::cuda_backend
