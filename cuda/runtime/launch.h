// Launching kernels: the only place with <<<…>>>. A kernel goes to the calling thread's current stream; nothing waits for it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>

#include "cuda/runtime/error.h"
#include "cuda/runtime/stream.h"

namespace plumb::cuda_backend {

/// How many blocks of how many threads, and how much dynamic shared memory each block gets (up to 227 KB on an H100).
struct Grid {
  dim3 blocks, threads;
  size_t shared_bytes = 0;
};

/// For a loop `for (i = thread_index(); i < work; i += grid_threads())`: enough blocks to fill the GPU a few times over, and no more than
/// `work` needs. No blocks for no work.
Grid grid_for(int64_t work, int threads = 256);
/// Blocks that run at the same time on the current GPU where a multiprocessor holds `per_multiprocessor`: 132 times that on an H100.
int resident_blocks(int per_multiprocessor);

/// Inside a kernel: this thread's place in the grid, and how many threads there are. 64 bits: a grid can exceed 2³¹ elements.
__device__ inline int64_t thread_index() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ inline int64_t grid_threads() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

/// Inside a kernel: the dynamic shared memory of the block, aligned to 128 bytes. Several arrays are cut from it by hand. This, not
/// `extern __shared__`, is how kernels reach it.
template <typename T>
__device__ T* dynamic_shared() {
#if defined(__CUDACC__)
  extern __shared__ __align__(128) unsigned char plumb_dynamic_shared[];
  return reinterpret_cast<T*>(plumb_dynamic_shared);
#else
  return static_cast<T*>(simulated::dynamic_shared_memory());
#endif
}

namespace detail {
/// Throws DeviceError with the kernel's name and grid unless `status` is success.
void check_launch(cudaError_t status, const void* kernel, const Grid& grid);
/// Allows the kernel more than the 48 KB of shared memory that need no asking.
void allow_shared_memory(const void* kernel, const Grid& grid);
}  // namespace detail

/// Runs kernel(arguments…) on the current stream of the current device. The arguments are copied, as all launches do; a kernel takes
/// pointers and small structs, not tensors. Nothing happens if the grid has no blocks. Throws DeviceError naming the kernel if it cannot
/// be launched.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), const Grid& grid, Arguments&&... arguments) {
  if (grid.blocks.x == 0 || grid.blocks.y == 0 || grid.blocks.z == 0) return;
  if (grid.shared_bytes > 48 * 1024) detail::allow_shared_memory(reinterpret_cast<const void*>(kernel), grid);
#if defined(__CUDACC__)
  kernel<<<grid.blocks, grid.threads, grid.shared_bytes, current_stream()>>>(
      static_cast<Parameters>(std::forward<Arguments>(arguments))...);
  cudaError_t status = cudaGetLastError();
#else
  cudaError_t status =
      simulated::launch(kernel, grid.blocks, grid.threads, grid.shared_bytes, current_stream(), std::forward<Arguments>(arguments)...);
#endif
  if (status != cudaSuccess) [[unlikely]] detail::check_launch(status, reinterpret_cast<const void*>(kernel), grid);
}

}  // namespace plumb::cuda_backend
