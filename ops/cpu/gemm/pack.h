// Packing: operands are copied into panels that the inner kernels read from front to back.
#pragma once
#include <cstdint>
#include <type_traits>

#include "engine/core/half.h"

namespace plumb::gemm {

/// What products of T are computed in: float for the 16-bit types, else T itself.
template <typename T>
using Accumulator = std::conditional_t<std::is_same_v<T, bfloat16> || std::is_same_v<T, half>, float, T>;

/// Two steps of k, 2p and 2p + 1, of one lane of an operand, as bits of bf16; the second is zero beyond an odd k.
struct Bf16Pair {
  uint16_t even, odd;
};

/// What products of elements P of panels are summed in.
template <typename P>
using Sum = std::conditional_t<std::is_same_v<P, Bf16Pair>, float, P>;
/// Steps of k that one of them holds.
template <typename P>
inline constexpr int64_t kSteps = std::is_same_v<P, Bf16Pair> ? 2 : 1;

/// A strided matrix seen from a panel: `lane` runs across it (rows of A, columns of B), `k` along it. Strides in elements.
template <typename T>
struct Strided {
  const T* data;
  int64_t lane, k;
};

/// Copies lanes [0, lanes) × [0, k) into ⌈lanes / width⌉ panels: panel q holds element (q·width + l, p) at packed[(q·k + p)·width + l],
/// zero for lanes beyond the last. `width` is one of 4, 6, 8, 12, 16, 32.
template <typename T>
void pack_panels(int width, int64_t lanes, int64_t k, Strided<T> x, Accumulator<T>* packed);
/// The same in pairs: panel q holds steps 2p and 2p + 1 of lane q·width + l at packed[(q·⌈k/2⌉ + p)·width + l]. `width` is 12 or 32.
void pack_panels(int width, int64_t lanes, int64_t k, Strided<bfloat16> x, Bf16Pair* packed);

}  // namespace plumb::gemm
