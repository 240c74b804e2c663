// Running joins over the threads of a warp or a block, in order, for any associative operation: join(left, right).
#pragma once
#include "cuda/kernels/elements.h"
#include "cuda/runtime/warp.h"

namespace plumb::cuda_backend {

/// shuffle_up for a struct of any size: the value of the lane `by` below; undefined where there is none.
template <typename V>
__device__ V shuffle_up_value(const V& v, int by) {
  if constexpr (sizeof(V) <= 8 && std::is_arithmetic_v<V>) {
    return shuffle_up(v, by);
  } else {
    static_assert(sizeof(V) % 4 == 0);
    uint32_t words[sizeof(V) / 4];
    memcpy(words, &v, sizeof v);
#pragma unroll
    for (uint32_t& w : words) w = shuffle_up(w, by);
    V other;
    memcpy(&other, words, sizeof v);
    return other;
  }
}

/// v of the lanes up to this one, joined.
template <typename V, typename Join>
__device__ V warp_running(V v, Join join) {
#pragma unroll
  for (int by = 1; by < kWarp; by *= 2) {
    V left = shuffle_up_value(v, by);
    if (lane_index() >= by) v = join(left, v);
  }
  return v;
}

/// What the threads before this one have, joined; nothing for the first.
template <typename V>
struct Before {
  bool any;
  V value;
};
/// `total` ← v of all threads. All threads of a one-dimensional block of full warps must call it, with shared room for a V a warp.
template <typename V, typename Join>
__device__ Before<V> block_before(V v, Join join, V* of_warp, V& total) {
  V running = warp_running(v, join), below = shuffle_up_value(running, 1);
  if (lane_index() == kWarp - 1) of_warp[warp_index()] = running;
  __syncthreads();
  Before<V> before{lane_index() > 0, below};
  V warps = of_warp[0];
  for (int w = 1; w < warp_count(); ++w) {
    if (w == warp_index()) before = {true, lane_index() > 0 ? join(warps, below) : warps};
    warps = join(warps, of_warp[w]);
  }
  total = warps;
  __syncthreads();
  return before;
}
/// How many of the threads before this one have it; `total` ← of all.
__device__ inline int count_before(int mine, int& total) {
  __shared__ int of_warp[kWarp];
  Before<int> before = block_before(mine, Plus(), of_warp, total);
  return before.any ? before.value : 0;
}

/// starts[i] ← Σ counts before i, in place, within each of `rows` rows of n.
void prefix_sums(int64_t* counts, int64_t rows, int64_t n);

}  // namespace plumb::cuda_backend
