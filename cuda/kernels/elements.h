// Elements between memory and the type of arithmetic: one, or several neighbours in accesses of up to 16 bytes.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "cuda/runtime/instructions.h"
#include "engine/core/dtype.h"

namespace plumb::cuda_backend {

/// An element in the type of arithmetic.
template <typename T>
__device__ compute_t<T> load(const T& x) { return static_cast<compute_t<T>>(x); }

/// v[j] ← the N elements from `from` on, converted; the address is a multiple of N elements or of 16 bytes.
template <int N, typename T, typename C>
__device__ void read_pack(const T* from, C (&v)[N]) {
  constexpr int kPiece = N > kPerAccess<T> ? kPerAccess<T> : N;
#pragma unroll
  for (int k = 0; k < N; k += kPiece) {
    Packed<T, kPiece> p = load_packed<kPiece>(from + k);
#pragma unroll
    for (int j = 0; j < kPiece; ++j) v[k + j] = static_cast<C>(load(p[j]));
  }
}
/// v[0 … K), rounded to T.
template <int K, typename T, typename C>
__device__ Packed<T, K> rounded(const C* v) {
  Packed<T, K> p;
#pragma unroll
  for (int j = 0; j < K; ++j) p[j] = static_cast<T>(static_cast<compute_t<T>>(v[j]));
  return p;
}
/// The N elements from `to` on ← v[j], rounded to T.
template <int N, typename T, typename C>
__device__ void write_pack(T* to, const C (&v)[N]) {
  constexpr int kPiece = std::min(N, kPerAccess<T>);
#pragma unroll
  for (int k = 0; k < N; k += kPiece) store_packed(to + k, rounded<kPiece, T>(v + k));
}
/// The same by store_packed_whole.
template <int N, typename T, typename C>
__device__ void write_pack_whole(T* to, const C (&v)[N]) {
  constexpr int kPiece = std::min(N, kPerAccess<T>);
#pragma unroll
  for (int k = 0; k < N; k += kPiece) store_packed_whole(to + k, rounded<kPiece, T>(v + k));
}

/// Whether 16-byte accesses from p on are aligned; null counts as aligned.
inline bool aligned16(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

/// The elements of a tensor, or null for one that is undefined.
template <typename T, typename Tensor>
auto* data_or_null(Tensor& t) { return t.defined() ? t.template data<T>() : nullptr; }

/// ⌈n / size⌉.
inline int64_t pieces(int64_t n, int64_t size) { return (n + size - 1) / size; }

/// shuffle_xor for a struct of any size: the value of the lane whose number differs by `lanes`.
template <typename V>
__device__ V shuffle_xor_value(const V& v, int lanes) {
  if constexpr (sizeof(V) <= 8 && std::is_arithmetic_v<V>) {
    return shuffle_xor(v, lanes);
  } else {
    static_assert(sizeof(V) % 4 == 0);
    uint32_t words[sizeof(V) / 4];
    memcpy(words, &v, sizeof v);
#pragma unroll
    for (uint32_t& w : words) w = shuffle_xor(w, lanes);
    V other;
    memcpy(&other, words, sizeof v);
    return other;
  }
}

}  // namespace plumb::cuda_backend
