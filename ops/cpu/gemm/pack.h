// Packing: operands are copied into panels that the inner kernels read from front to back.
#pragma once
#include <cstdint>
#include <type_traits>

#include "engine/core/half.h"

namespace plumb::gemm {

/// What products of T are computed in: float for the 16-bit types, else T itself.
template <typename T>
using Accumulator = std::conditional_t<std::is_same_v<T, bfloat16> || std::is_same_v<T, half>, float, T>;

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

}  // namespace plumb::gemm
