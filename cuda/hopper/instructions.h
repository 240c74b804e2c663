// What an H100 has and C++ has no name for: barriers that count bytes, tiles that the copy engine brings, products of four warps that read
// shared memory, and registers that warps give to each other. For compute capability 9.0 alone (sm_90a); the simulated device has none of
// it.
#pragma once
#include <cuda.h>

#include <cstdint>

namespace plumb::cuda_backend {

__device__ inline uint32_t shared_address(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }

// -- barriers ------------------------------------------------------------------------------------------------------
// A barrier's phase ends when all arrivals were made and all bytes that were announced have come. Phases are told apart by their parity:
// the first is 0, and of a barrier that nobody has used yet the phase of parity 1 counts as ended.

__device__ inline void barrier_init(uint64_t* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}
/// After barrier_init and before the block's __syncthreads: the copy engine sees them too.
__device__ inline void barriers_are_made() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
__device__ inline void barrier_arrive(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
/// Arrives, and announces so many bytes.
__device__ inline void barrier_arrive_expecting(uint64_t* barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes) : "memory");
}
/// Returns once the phase of this parity has ended.
__device__ inline void barrier_wait(uint64_t* barrier, uint32_t parity) {
  uint32_t ended = 0;
  while (!ended)
    asm volatile(
        "{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
        : "=r"(ended)
        : "r"(shared_address(barrier)), "r"(parity)
        : "memory");
}
/// Of `threads` threads (whole warps) that use the same number, 1 … 15.
__device__ inline void barrier_of_threads(int number, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(number), "r"(threads) : "memory");
}

// -- tiles ---------------------------------------------------------------------------------------------------------
// One thread starts the copy of a box that a tensor map describes; its bytes count towards the barrier. Places outside the tensor are zeros
// and count as well.

__device__ inline void load_box(void* to, const CUtensorMap* map, uint64_t* barrier, int x, int y) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(
                   shared_address(to)),
               "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y)
               : "memory");
}
__device__ inline void load_box(void* to, const CUtensorMap* map, uint64_t* barrier, int x, int y, int z) {
  asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::"r"(
                   shared_address(to)),
               "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y), "r"(z)
               : "memory");
}
/// What this thread wrote to shared memory is seen by the copy engine and the tensor cores from here on.
__device__ inline void shared_writes_are_done() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// -- registers -----------------------------------------------------------------------------------------------------
/// The four warps of a warpgroup go on with so many registers a thread, a multiple of 8.
template <int kRegisters>
__device__ void give_registers_back() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// -- products of a warpgroup ---------------------------------------------------------------------------------------
// They run while the warps go on, in groups that are closed and waited for. Operands lie in shared memory in rows of 128 bytes, 8 rows
// (1,024 bytes, aligned) an atom, within which 16-byte pieces are permuted: what the copy engine writes with a swizzle of 128 bytes.

/// Before a first product, and after registers of the sums were written otherwise.
__device__ inline void products_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void products_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/// Waits until at most the newest kPending groups are under way.
template <int kPending>
__device__ void products_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

/// After products_wait<0>: the sums are read from here on, not before.
template <int kCount>
__device__ __forceinline__ void products_are_done(float (&sums)[kCount]) {
#pragma unroll
  for (float& sum : sums) asm volatile("" : "+f"(sum)::"memory");
}

/// How a product finds an operand. `across` bytes lie between atoms along the rows and columns of the result (of an operand whose depth is
/// dense they are 8 rows; of one whose depth is not they are 64 elements), `deep` bytes between atoms along the depth, where it is not
/// dense.
template <bool kDepthDense>
__device__ uint64_t operand_descriptor(const void* at, int across, int deep) {
  const auto sixteens = [](uint32_t bytes) { return static_cast<uint64_t>((bytes & 0x3ffff) >> 4); };
  const uint64_t leading = kDepthDense ? 1 : sixteens(static_cast<uint32_t>(across)),
                 stride = sixteens(static_cast<uint32_t>(kDepthDense ? across : deep));
  return sixteens(shared_address(at)) | leading << 16 | stride << 32 | uint64_t{1} << 62;
}

}  // namespace plumb::cuda_backend
