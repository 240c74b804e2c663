// Visiting the elements of several tensors of one shape and any strides, in rows, on all threads.
#pragma once
#include <algorithm>
#include <array>

#include "engine/core/parallel.h"
#include "engine/core/tensor.h"

namespace plumb::cpu_kernels {

/// Elements a thread should have at least, so that waking it pays.
inline constexpr int64_t kPointwiseGrain = 16384;

/// N operands over one index space, its dimensions merged and ordered so that the last is the best to run along.
template <size_t N>
struct StridedLoop {
  int rank = 0;
  std::array<int64_t, kMaxRank> sizes;  // the arrays stay unset beyond `rank`: filling them would cost more than a small loop
  std::array<std::array<int64_t, N>, kMaxRank> strides;  ///< in bytes, a row for each dimension
  std::array<std::byte*, N> data;
  int64_t count = 1;
};

/// The loop over tensors of equal shape. Dimensions are sorted by the first operand's strides and merged where all operands allow it.
template <size_t N>
StridedLoop<N> strided_loop(const std::array<const Tensor*, N>& operands) {
  StridedLoop<N> loop;
  const Shape& shape = operands[0]->shape();
  for (size_t k = 0; k < N; ++k) loop.data[k] = static_cast<std::byte*>(operands[k]->raw_data());
  loop.count = operands[0]->numel();
  bool contiguous = std::all_of(operands.begin(), operands.end(), [](const Tensor* t) { return t->is_contiguous(); });
  if (contiguous) {
    loop.rank = 1;
    loop.sizes[0] = loop.count;
    for (size_t k = 0; k < N; ++k) loop.strides[0][k] = static_cast<int64_t>(item_size(operands[k]->dtype()));
    return loop;
  }
  struct Axis {
    int64_t size;
    std::array<int64_t, N> strides;
  };
  std::array<Axis, kMaxRank> axes;
  int rank = 0;
  for (int d = 0; d < shape.rank(); ++d) {
    if (shape[d] == 1) continue;
    Axis a{shape[d], {}};
    for (size_t k = 0; k < N; ++k) a.strides[k] = operands[k]->strides()[d] * static_cast<int64_t>(item_size(operands[k]->dtype()));
    axes[static_cast<size_t>(rank++)] = a;
  }
  std::stable_sort(axes.begin(), axes.begin() + rank, [](const Axis& a, const Axis& b) {
    for (size_t k = 0; k < N; ++k)
      if (a.strides[k] != b.strides[k]) return a.strides[k] > b.strides[k];
    return false;
  });
  for (int d = 0; d < rank; ++d) {
    const Axis& a = axes[static_cast<size_t>(d)];
    auto last = static_cast<size_t>(loop.rank - 1);
    bool merges = loop.rank > 0;
    for (size_t k = 0; merges && k < N; ++k) merges = loop.strides[last][k] == a.strides[k] * a.size;
    if (!merges) last = static_cast<size_t>(loop.rank++);
    loop.sizes[last] = merges ? loop.sizes[last] * a.size : a.size;
    loop.strides[last] = a.strides;
  }
  if (loop.rank == 0) {
    loop.rank = 1;
    loop.sizes[0] = loop.count;
    for (size_t k = 0; k < N; ++k) loop.strides[0][k] = static_cast<int64_t>(item_size(operands[k]->dtype()));
  }
  return loop;
}

/// Calls row(n, pointers, byte_strides) for rows that cover elements [begin, end) of the loop.
template <size_t N, typename Row>
void for_each_row(const StridedLoop<N>& loop, int64_t begin, int64_t end, Row&& row) {
  auto inner = static_cast<size_t>(loop.rank - 1);
  std::array<int64_t, kMaxRank> index{};
  std::array<std::byte*, N> at = loop.data;
  int64_t rest = begin;
  for (size_t d = inner; d > 0; --d) {
    index[d] = rest % loop.sizes[d];
    rest /= loop.sizes[d];
    for (size_t k = 0; k < N; ++k) at[k] += index[d] * loop.strides[d][k];
  }
  index[0] = rest;  // no division: most loops have one dimension
  for (size_t k = 0; k < N; ++k) at[k] += rest * loop.strides[0][k];
  while (begin < end) {
    int64_t n = std::min(end - begin, loop.sizes[inner] - index[inner]);
    row(n, at, loop.strides[inner]);
    begin += n;
    if (begin >= end) return;
    for (size_t k = 0; k < N; ++k) at[k] -= index[inner] * loop.strides[inner][k];
    index[inner] = 0;
    for (size_t d = inner; d-- > 0;) {
      for (size_t k = 0; k < N; ++k) at[k] += loop.strides[d][k];
      if (++index[d] < loop.sizes[d]) break;
      for (size_t k = 0; k < N; ++k) at[k] -= index[d] * loop.strides[d][k];
      index[d] = 0;
    }
  }
}

/// for_each_row over all elements, on all threads.
template <size_t N, typename Row>
void parallel_rows(const StridedLoop<N>& loop, Row&& row) {
  if (loop.count == 0) return;
  parallel_for(loop.count, kPointwiseGrain, [&](int64_t b, int64_t e) { for_each_row(loop, b, e, row); });
}

/// Elements converted at a time when a kernel computes in another type than it stores.
inline constexpr int64_t kChunk = 512;

/// to[i] ← from[i·stride] converted, i < n. Stride in bytes.
template <typename From, typename To>
void load_chunk(const std::byte* from, int64_t stride, int64_t n, To* to) {
  if (stride == static_cast<int64_t>(sizeof(From))) {
    auto* p = reinterpret_cast<const From*>(from);
    for (int64_t i = 0; i < n; ++i) to[i] = static_cast<To>(static_cast<compute_t<From>>(p[i]));
  } else {
    for (int64_t i = 0; i < n; ++i)
      to[i] = static_cast<To>(static_cast<compute_t<From>>(*reinterpret_cast<const From*>(from + i * stride)));
  }
}
/// to[i·stride] ← from[i] converted.
template <typename From, typename To>
void store_chunk(const From* from, int64_t n, std::byte* to, int64_t stride) {
  for (int64_t i = 0; i < n; ++i) *reinterpret_cast<To*>(to + i * stride) = static_cast<To>(static_cast<compute_t<To>>(from[i]));
}

}  // namespace plumb::cpu_kernels
