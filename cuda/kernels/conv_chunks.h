// A weight's gradient as a sum over chunks of places: enough of them to fill the GPU, added up in order.
#pragma once
#include <algorithm>

#include "cuda/runtime/launch.h"
#include "engine/core/dtype.h"

namespace plumb::cuda_backend {

/// Into how many chunks a sum over `depth` is cut so that `tiles` tiles fill the GPU, at least `least` a chunk. The same on every GPU, so
/// that results are.
inline int64_t chunks_of(int64_t tiles, int64_t depth, int64_t least) {
  constexpr int64_t kWantedBlocks = 1024, kMostChunks = 256;
  const int64_t wanted = (kWantedBlocks + tiles - 1) / tiles, most = (depth + least - 1) / least;
  return std::clamp<int64_t>(std::min(wanted, most), 1, kMostChunks);
}

template <typename T>
__global__ void add_chunks_kernel(const compute_t<T>* partial, int chunks, int64_t count, T* weight) {
  for (int64_t n = thread_index(); n < count; n += grid_threads()) {
    compute_t<T> sum = partial[n];
    for (int chunk = 1; chunk < chunks; ++chunk) sum += partial[chunk * count + n];
    weight[n] = static_cast<T>(sum);
  }
}

/// weight[n] ← Σ over chunks of partial[chunk · count + n].
template <typename T>
void add_chunks(const compute_t<T>* partial, int64_t chunks, int64_t count, T* weight) {
  launch(add_chunks_kernel<T>, grid_for(count), partial, static_cast<int>(chunks), count, weight);
}

}  // namespace plumb::cuda_backend
