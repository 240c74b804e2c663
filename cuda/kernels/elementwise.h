// One kernel for everything that works element by element: out_i = f(a_i, b_i, …) for any number of operands of any types and strides.
#pragma once
#include <algorithm>
#include <bit>
#include <utility>

#include "cuda/runtime/instructions.h"
#include "cuda/runtime/launch.h"
#include "engine/core/dtype.h"
#include "ops/cpu/strided_loop.h"

namespace plumb::cuda_backend {

/// n / divisor for n < 2³¹ by one multiplication and a shift (Granlund and Montgomery 1994): a division by a number that the compiler does
/// not know takes twenty instructions.
struct Divider {
  uint32_t divisor = 1, factor = 1, shift = 0;
  Divider() = default;
  explicit Divider(uint32_t d) : divisor(d), shift(static_cast<uint32_t>(std::bit_width(d - 1))) {
    factor = static_cast<uint32_t>(((uint64_t{1} << 32) * ((uint64_t{1} << shift) - d)) / d + 1);
  }
  __device__ uint32_t divide(uint32_t n) const { return (__umulhi(n, factor) + n) >> shift; }
};

/// Where the elements of N operands of one shape lie (the first is the result): a number i is cut into one index a dimension, and each
/// operand adds index times stride. A `packed` set counts packs of several neighbouring elements instead of single ones.
template <int N>
struct Elements {
  int rank = 0;
  uint32_t count = 0;                 ///< below 2³¹
  bool packed = false;
  bool advances[N] = {};              ///< in a packed set: an operand's pack are neighbours; else one element repeated
  std::byte* data[N] = {};
  Divider sizes[kMaxRank];
  int64_t strides[kMaxRank][N] = {};  ///< in bytes

  __device__ void locate(uint32_t i, std::byte* (&at)[N]) const {
    for (int k = 0; k < N; ++k) at[k] = data[k];
    for (int d = rank - 1; d >= 0; --d) {
      uint32_t rest = d > 0 ? sizes[d].divide(i) : 0, index = i - rest * sizes[d].divisor;
      for (int k = 0; k < N; ++k) at[k] += index * strides[d][k];
      i = rest;
    }
  }
};

namespace detail {

/// The set for a loop of fewer than 2³¹ elements; packed into `width` elements if every operand (of widths bytes an element) allows it.
template <size_t N>
Elements<static_cast<int>(N)> elements_of(const cpu_kernels::StridedLoop<N>& loop, const std::array<int64_t, N>& bytes, int64_t width) {
  Elements<static_cast<int>(N)> e;
  e.rank = loop.rank;
  auto last = static_cast<size_t>(loop.rank - 1);
  e.packed = width > 1 && loop.sizes[last] % width == 0;
  for (size_t k = 0; k < N; ++k) {
    e.data[k] = loop.data[k];
    int64_t pack = bytes[k] * width;
    e.advances[k] = loop.strides[last][k] == bytes[k];
    bool aligned = reinterpret_cast<uintptr_t>(loop.data[k]) % static_cast<uintptr_t>(pack) == 0;
    for (size_t d = 0; d < last; ++d) aligned = aligned && loop.strides[d][k] % pack == 0;
    e.packed = e.packed && ((e.advances[k] && aligned) || (k > 0 && loop.strides[last][k] == 0));
  }
  int64_t count = 1;
  for (size_t d = 0; d <= last; ++d) {
    int64_t step = e.packed && d == last ? width : 1, size = loop.sizes[d] / step;
    e.sizes[d] = Divider(static_cast<uint32_t>(size));
    for (size_t k = 0; k < N; ++k) e.strides[d][k] = loop.strides[d][k] * step;
    count *= size;
  }
  e.count = static_cast<uint32_t>(count);
  return e;
}

/// Calls run(piece) for pieces of the loop with fewer than 2³¹ elements each, cut along the first dimension.
template <size_t N, typename Run>
void for_each_piece(const cpu_kernels::StridedLoop<N>& loop, Run&& run) {
  constexpr int64_t kMost = int64_t{1} << 31;
  if (loop.count < kMost) return run(loop);
  cpu_kernels::StridedLoop<N> piece = loop;
  int64_t a_row = loop.count / loop.sizes[0];
  if (a_row >= kMost) {  // the other dimensions alone are too many: one row after the other
    piece.rank = loop.rank - 1;
    piece.count = a_row;
    for (size_t d = 0; d + 1 < static_cast<size_t>(loop.rank); ++d) {
      piece.sizes[d] = loop.sizes[d + 1];
      piece.strides[d] = loop.strides[d + 1];
    }
    for (int64_t r = 0; r < loop.sizes[0]; ++r) {
      for (size_t k = 0; k < N; ++k) piece.data[k] = loop.data[k] + r * loop.strides[0][k];
      for_each_piece(piece, run);
    }
    return;
  }
  int64_t rows = (kMost - 1) / a_row / 16 * 16;  // a multiple of every pack
  if (rows == 0) rows = (kMost - 1) / a_row;
  for (int64_t r = 0; r < loop.sizes[0]; r += rows) {
    piece.sizes[0] = std::min(rows, loop.sizes[0] - r);
    piece.count = piece.sizes[0] * a_row;
    for (size_t k = 0; k < N; ++k) piece.data[k] = loop.data[k] + r * loop.strides[0][k];
    run(piece);
  }
}

template <typename Out, typename R>
__device__ Out rounded_to(R r) {
  return static_cast<Out>(static_cast<compute_t<Out>>(r));
}

template <int kWidth, typename T>
__device__ Packed<T, kWidth> load_operand(const std::byte* at, bool advances) {
  if (advances) return load_packed<kWidth>(reinterpret_cast<const T*>(at));
  Packed<T, kWidth> repeated;
  T x = *reinterpret_cast<const T*>(at);
#pragma unroll
  for (int j = 0; j < kWidth; ++j) repeated[j] = x;
  return repeated;
}

/// Elements that one access of 16 bytes to the widest operand brings.
template <typename... T> inline constexpr int kElementsAtOnce = 16 / static_cast<int>(std::max({sizeof(T)...}));

}  // namespace detail

// Threads take elements, or packs of 16 bytes of the widest operand, in turns. Moves Σ sizeof(operand) bytes an element. A multiprocessor's
// 2048 threads have 32 KB of loads under way, twice of what latency times bandwidth asks for (3.35 TB/s · 0.6 µs / 132 = 15 KB).
template <typename F, typename Out, typename... In, size_t... K>
__device__ void evaluate_pack(const F& f, std::byte* const (&at)[1 + sizeof...(In)], const bool (&advances)[1 + sizeof...(In)],
                              std::index_sequence<K...>) {
  constexpr int kWidth = detail::kElementsAtOnce<Out, In...>;
  auto evaluate = [&](const auto&... operand) {
    Packed<Out, kWidth> y;
#pragma unroll
    for (int j = 0; j < kWidth; ++j) y[j] = detail::rounded_to<Out>(f(static_cast<compute_t<In>>(operand[j])...));
    store_packed<kWidth>(reinterpret_cast<Out*>(at[0]), y);
  };
  evaluate(detail::load_operand<kWidth, In>(at[K + 1], advances[K + 1])...);
}

template <typename F, typename Out, typename... In, size_t... K>
__device__ void evaluate_one(const F& f, std::byte* const (&at)[1 + sizeof...(In)], std::index_sequence<K...>) {
  *reinterpret_cast<Out*>(at[0]) = detail::rounded_to<Out>(f(static_cast<compute_t<In>>(*reinterpret_cast<const In*>(at[K + 1]))...));
}

template <typename F, typename Out, typename... In>
__global__ void elementwise_kernel(F f, const __grid_constant__ Elements<1 + static_cast<int>(sizeof...(In))> elements) {
  std::byte* at[1 + sizeof...(In)];
  for (int64_t i = thread_index(); i < elements.count; i += grid_threads()) {
    elements.locate(static_cast<uint32_t>(i), at);
    if (elements.packed) evaluate_pack<F, Out, In...>(f, at, elements.advances, std::index_sequence_for<In...>());
    else evaluate_one<F, Out, In...>(f, at, std::index_sequence_for<In...>());
  }
}

/// out_i = f(inputs_i…), f a small struct whose operator() takes the operands in the types that they are computed in (compute_t<In>).
/// Operands have one shape and any strides.
template <typename Out, typename... In, typename F, typename... Tensors>
void elementwise(const F& f, Tensor& out, const Tensors&... inputs) {
  static_assert(sizeof...(In) == sizeof...(Tensors));
  constexpr size_t kOperands = 1 + sizeof...(In);
  auto loop = cpu_kernels::strided_loop<kOperands>({&out, &inputs...});
  if (loop.count == 0) return;
  detail::for_each_piece(loop, [&](const cpu_kernels::StridedLoop<kOperands>& piece) {
    auto elements = detail::elements_of<kOperands>(piece, {static_cast<int64_t>(sizeof(Out)), static_cast<int64_t>(sizeof(In))...},
                                                   detail::kElementsAtOnce<Out, In...>);
    launch(elementwise_kernel<F, Out, In...>, grid_for(elements.count), f, elements);
  });
}

}  // namespace plumb::cuda_backend
