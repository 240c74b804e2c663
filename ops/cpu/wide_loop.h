// Loops over the elements of costly functions, in vectors of 512 bits where the machine has them.
#pragma once
#include <cstdint>

namespace plumb::cpu_kernels {

/// Whether this machine runs loops that were compiled for AVX-512.
inline bool has_wide_vectors() {
#if defined(__x86_64__)
  static const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq");
  return has;
#else
  return false;
#endif
}

template <typename Body>
#if defined(__x86_64__) && !defined(__clang__)
[[gnu::target("avx512f,avx512vl,avx512bw,avx512dq,prefer-vector-width=512")]]
#endif
void loop_in_wide_vectors(int64_t n, const Body& body) {
  for (int64_t i = 0; i < n; ++i) body(i);
}

/// body(i) for 0 ≤ i < n. A function such as exp is one chain of some twenty multiply-adds: a loop over it waits for the chain, not for the
/// units, and twice as many elements a chain take hardly longer. An element's operations are the same in both widths, and so its bits.
/// The body must be marked always_inline, or nothing is gained.
template <typename Body>
void wide_loop(int64_t n, const Body& body) {
  if (has_wide_vectors()) return loop_in_wide_vectors(n, body);
  for (int64_t i = 0; i < n; ++i) body(i);
}

}  // namespace plumb::cpu_kernels
