// What the threads of a warp or a block do together: sums, maxima, shuffles. Every order of additions is fixed, so results are
// reproducible. The only place that calls __shfl_*_sync and its relatives.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

namespace plumb::cuda_backend {

inline constexpr int kWarp = 32;
inline constexpr uint32_t kFullMask = 0xffffffffu;

/// This thread's lane in its warp, its warp in the block, and the number of warps in the block, for one-dimensional blocks.
__device__ inline int lane_index() { return static_cast<int>(threadIdx.x) % kWarp; }
__device__ inline int warp_index() { return static_cast<int>(threadIdx.x) / kWarp; }
__device__ inline int warp_count() { return (static_cast<int>(blockDim.x) + kWarp - 1) / kWarp; }

// -- exchanges. All 32 lanes must take part, unless a mask says who does. T has 1, 2, 4 or 8 bytes. ---------------------------------
template <typename T> __device__ T shuffle(T x, int from_lane, uint32_t mask = kFullMask) { return __shfl_sync(mask, x, from_lane); }
template <typename T> __device__ T shuffle_xor(T x, int lanes, uint32_t mask = kFullMask) { return __shfl_xor_sync(mask, x, lanes); }
template <typename T> __device__ T shuffle_down(T x, int by, uint32_t mask = kFullMask) { return __shfl_down_sync(mask, x, by); }
template <typename T> __device__ T shuffle_up(T x, int by, uint32_t mask = kFullMask) { return __shfl_up_sync(mask, x, by); }
/// Bit l: the predicate of lane l.
__device__ inline uint32_t ballot(bool predicate, uint32_t mask = kFullMask) { return __ballot_sync(mask, predicate); }
/// Writes of the warp's lanes before it are seen by them after it.
__device__ inline void sync_warp(uint32_t mask = kFullMask) { __syncwarp(mask); }

// -- reductions. Every lane (thread) gets the result. --------------------------------------------------------------------------------
struct Plus { template <typename T> __device__ T operator()(T a, T b) const { return a + b; } };
struct Larger { template <typename T> __device__ T operator()(T a, T b) const { return a > b || a != a ? a : b; } };   // NaN wins
struct Smaller { template <typename T> __device__ T operator()(T a, T b) const { return a < b || a != a ? a : b; } };

/// x of all lanes combined by `op` in a butterfly, over groups of kLanes neighbours (a power of two).
template <int kLanes = kWarp, typename T, typename Op>
__device__ T warp_reduce(T x, Op op) {
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2) x = op(x, shuffle_xor(x, distance));
  return x;
}
template <int kLanes = kWarp, typename T> __device__ T warp_sum(T x) { return warp_reduce<kLanes>(x, Plus()); }
template <int kLanes = kWarp, typename T> __device__ T warp_max(T x) { return warp_reduce<kLanes>(x, Larger()); }

/// The same over all threads of a one-dimensional block whose size is a multiple of 32; `neutral` leaves `op` without effect. All threads
/// must call it. Two barriers: it may be called again at once.
template <typename T, typename Op>
__device__ T block_reduce(T x, Op op, T neutral) {
  __shared__ T of_warp[kWarp];
  x = warp_reduce(x, op);
  if (lane_index() == 0) of_warp[warp_index()] = x;
  __syncthreads();
  x = lane_index() < warp_count() ? of_warp[lane_index()] : neutral;
  x = warp_reduce(x, op);
  __syncthreads();
  return x;
}
template <typename T> __device__ T block_sum(T x) { return block_reduce(x, Plus(), T(0)); }
/// `lowest`: what is no larger than any x, such as −inf.
template <typename T> __device__ T block_max(T x, T lowest) { return block_reduce(x, Larger(), lowest); }

}  // namespace plumb::cuda_backend
