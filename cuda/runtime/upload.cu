// Staging memory for uploads. A piece is used again once the copy from it has run.
#include "cuda/runtime/upload.h"

#include <cstring>
#include <list>
#include <memory>
#include <mutex>

#include "cuda/runtime/error.h"
#include "cuda/runtime/stream.h"

namespace plumb::cuda_backend {
namespace {

struct Piece {
  explicit Piece(size_t bytes) : memory(bytes) {}
  PinnedMemory memory;
  Event copied;
};
struct Staging {
  std::mutex mutex;
  std::list<std::unique_ptr<Piece>> pieces;    ///< the longest in use first
  std::list<std::unique_ptr<Piece>> captured;  ///< read by graphs
};
Staging& staging() {
  static auto& all = *new Staging;
  return all;
}

// A piece with room for `bytes` that no copy reads any more.
std::unique_ptr<Piece> take_piece(Staging& all, size_t bytes) {
  for (auto it = all.pieces.begin(); it != all.pieces.end(); ++it) {
    if ((*it)->memory.bytes() < bytes || !(*it)->copied.done()) continue;
    auto piece = std::move(*it);
    all.pieces.erase(it);
    return piece;
  }
  return std::make_unique<Piece>(bytes);
}

}  // namespace

void upload(void* to, const void* from, size_t bytes) {
  cudaStream_t stream = current_stream();
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(stream, &capture), "upload");
  bool captured = capture == cudaStreamCaptureStatusActive;
  Staging& all = staging();
  std::lock_guard lock(all.mutex);
  auto piece = captured ? std::make_unique<Piece>(bytes) : take_piece(all, bytes);
  std::memcpy(piece->memory.data(), from, bytes);
  check(cudaMemcpyAsync(to, piece->memory.data(), bytes, cudaMemcpyHostToDevice, stream), "upload");
  if (!captured) piece->copied.record(stream);
  (captured ? all.captured : all.pieces).push_back(std::move(piece));
}

}  // namespace plumb::cuda_backend
