// Running a kernel's blocks on the CPU: one block after the other, each thread of a block a fiber on the calling thread. Threads and blocks
// run in an order that changes from block to block, so that a kernel which relies on one goes wrong.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

namespace plumb::simulated {

// A kernel's built-in variables. Set before each thread runs.
inline thread_local uint3 threadIdx, blockIdx;
inline thread_local dim3 blockDim, gridDim;

/// Runs body() for every thread of every block. Throws KernelError (a std::runtime_error) for what would hang or is not allowed: threads
/// that wait for ever, lanes of one warp that wait for different things, lanes that have gone.
void run_grid(dim3 blocks, dim3 threads, size_t shared_bytes, const std::function<void()>& body, const void* kernel);

// -- called from kernels --------------------------------------------------------------------------------------------------------------
/// __syncthreads: all threads of the block that have not returned.
void barrier();
/// The same, with the number of threads whose predicate holds.
int barrier_count(bool predicate);
int lane();
/// The lanes of this warp that have not returned.
uint32_t live_lanes();
/// Waits until all lanes of `mask` have come here with their `bytes` bytes (at most 32), and returns those of all lanes, lane l's at
/// l · bytes. They stay until the lane's next exchange.
const std::byte* exchange(uint32_t mask, const void* mine, size_t bytes);
/// The lanes that took part in this lane's last exchange.
uint32_t exchanged_lanes();
uint32_t ballot(uint32_t mask, bool predicate);
void* dynamic_shared_memory();
/// Asynchronous copies of this thread: the bytes arrive when they are waited for.
void copy_async(void* to, const void* from, size_t bytes, bool valid);
void copy_async_commit();
void copy_async_wait(int pending);
/// Ends the kernel with a KernelError; from a kernel only.
[[noreturn]] void fail(const char* what);

template <typename T>
T from_lane(uint32_t mask, const T& x, int lane) {
  const std::byte* all = exchange(mask, &x, sizeof(T));
  if (!(exchanged_lanes() >> lane & 1u)) fail("a shuffle reads a lane that does not take part");
  T y;
  std::memcpy(&y, all + static_cast<size_t>(lane) * sizeof(T), sizeof(T));
  return y;
}

}  // namespace plumb::simulated
