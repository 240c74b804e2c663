// The part of CUDA that cuda/ uses, as plain C++ on the CPU: the words of the language, the built-in variables and functions of kernels,
// and the runtime's functions. Kernels of cuda/ are compiled against it by the host's compiler for tests without a GPU.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "tests/cuda/simulated/block.h"
#include "tests/cuda/simulated/runtime.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) alignas(n)
// A block's threads run on one thread of the host, and blocks one after the other.
#define __shared__ static thread_local

using plumb::simulated::blockDim;
using plumb::simulated::blockIdx;
using plumb::simulated::gridDim;
using plumb::simulated::threadIdx;

inline void __syncthreads() { plumb::simulated::barrier(); }
inline int __syncthreads_or(int predicate) { return plumb::simulated::barrier_count(predicate != 0) != 0; }
inline int __syncthreads_and(int predicate) { return plumb::simulated::barrier_count(predicate == 0) == 0; }
inline int __syncthreads_count(int predicate) { return plumb::simulated::barrier_count(predicate != 0); }
inline void __syncwarp(uint32_t mask = 0xffffffffu) { plumb::simulated::exchange(mask, nullptr, 0); }
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}

template <typename T>
T __shfl_sync(uint32_t mask, T x, int from, int width = 32) {
  int lane = plumb::simulated::lane();
  return plumb::simulated::from_lane(mask, x, lane / width * width + (from & (width - 1)));
}
template <typename T>
T __shfl_xor_sync(uint32_t mask, T x, int lanes, int width = 32) {
  int lane = plumb::simulated::lane(), from = lane ^ lanes;
  return plumb::simulated::from_lane(mask, x, from / width <= lane / width ? from : lane);
}
template <typename T>
T __shfl_down_sync(uint32_t mask, T x, unsigned by, int width = 32) {
  int lane = plumb::simulated::lane(), from = lane + static_cast<int>(by);
  return plumb::simulated::from_lane(mask, x, from / width == lane / width ? from : lane);
}
template <typename T>
T __shfl_up_sync(uint32_t mask, T x, unsigned by, int width = 32) {
  int lane = plumb::simulated::lane(), from = lane - static_cast<int>(by);
  return plumb::simulated::from_lane(mask, x, from >= lane / width * width ? from : lane);
}
inline uint32_t __ballot_sync(uint32_t mask, int predicate) { return plumb::simulated::ballot(mask, predicate != 0); }
inline int __any_sync(uint32_t mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(uint32_t mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }
inline uint32_t __activemask() { return plumb::simulated::live_lanes(); }

// Threads of the simulated device take turns, so plain arithmetic is atomic.
template <typename T> T atomicAdd(T* at, std::type_identity_t<T> x) { T old = *at; *at = static_cast<T>(old + x); return old; }
template <typename T> T atomicMax(T* at, std::type_identity_t<T> x) { T old = *at; if (x > old) *at = x; return old; }
template <typename T> T atomicMin(T* at, std::type_identity_t<T> x) { T old = *at; if (x < old) *at = x; return old; }
template <typename T> T atomicOr(T* at, std::type_identity_t<T> x) { T old = *at; *at = old | x; return old; }
template <typename T> T atomicAnd(T* at, std::type_identity_t<T> x) { T old = *at; *at = old & x; return old; }
template <typename T> T atomicExch(T* at, std::type_identity_t<T> x) { T old = *at; *at = x; return old; }
template <typename T>
T atomicCAS(T* at, std::type_identity_t<T> expected, std::type_identity_t<T> x) {
  T old = *at;
  if (old == expected) *at = x;
  return old;
}

template <typename T> T __ldg(const T* at) { return *at; }
template <typename T> T __ldcs(const T* at) { return *at; }
template <typename T> T __ldcg(const T* at) { return *at; }
template <typename T> void __stcs(T* at, std::type_identity_t<T> x) { *at = x; }
template <typename T> void __stcg(T* at, std::type_identity_t<T> x) { *at = x; }

inline int __popc(uint32_t x) { return __builtin_popcount(x); }
inline int __popcll(uint64_t x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<uint32_t>(x)); }
inline int __clzll(long long x) { return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline uint32_t __brev(uint32_t x) {
  uint32_t y = 0;
  for (int i = 0; i < 32; ++i) y |= (x >> i & 1u) << (31 - i);
  return y;
}
inline uint32_t __umulhi(uint32_t a, uint32_t b) { return static_cast<uint32_t>(uint64_t{a} * b >> 32); }
inline uint32_t __float_as_uint(float x) { uint32_t u; std::memcpy(&u, &x, 4); return u; }
inline int32_t __float_as_int(float x) { int32_t u; std::memcpy(&u, &x, 4); return u; }
inline float __uint_as_float(uint32_t u) { float x; std::memcpy(&x, &u, 4); return x; }
inline float __int_as_float(int32_t u) { float x; std::memcpy(&x, &u, 4); return x; }
inline int64_t __double_as_longlong(double x) { int64_t u; std::memcpy(&u, &x, 8); return u; }
inline double __longlong_as_double(int64_t u) { double x; std::memcpy(&x, &u, 8); return x; }
inline float __fdividef(float a, float b) { return a / b; }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
