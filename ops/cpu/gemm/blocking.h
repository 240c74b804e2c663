// How a product is cut: the blocks of k, which fix the result's bits, and the parts that threads take, which do not.
#pragma once
#include <algorithm>
#include <cstdint>

#include "engine/core/parallel.h"

namespace plumb::gemm {

inline int64_t ceil_div(int64_t x, int64_t y) { return (x + y - 1) / y; }

/// Longest chain of multiply-adds. A panel of B this deep (24 kB) stays in L1 beside a panel of A. Changing it changes results.
inline constexpr int64_t kMaxDepth = 384;

/// Depth of the blocks of k, the last of which may be shorter: even blocks, a function of k alone.
inline int64_t block_depth(int64_t k) { return k <= kMaxDepth ? k : ceil_div(ceil_div(k, ceil_div(k, kMaxDepth)), 4) * 4; }

/// Rows of a packed block of A: about 288 kB, so that it stays in L2 while B passes.
template <typename C>
constexpr int64_t kBlockRows = 288 * 1024 / (kMaxDepth * sizeof(C));

/// The operand that all threads share is packed in slabs of whole blocks of k, at most about this many bytes, so that it stays in L3.
inline constexpr int64_t kSlabBytes = int64_t{8} << 20;

/// Depth of a slab for an operand of `lanes` rows or columns of `size` bytes an element.
inline int64_t slab_depth(int64_t k, int64_t lanes, int64_t size) {
  const int64_t depth = block_depth(k);
  return std::max<int64_t>(1, kSlabBytes / (lanes * depth * size)) * depth;
}

/// Below this many multiply-adds a second thread costs more than it brings.
inline constexpr int64_t kWorthThread = int64_t{1} << 17;

/// Calls f(part, begin, end) in parallel over ranges that cover [0, count) for each of `parts` parts; `work` multiply-adds in all.
template <typename F>
void for_parts(int64_t parts, int64_t count, int64_t grain, int64_t work, const F& f) {
  const int64_t least = ceil_div(parts * count * kWorthThread, std::max<int64_t>(1, work));
  parallel_for(parts * count, std::max(grain, least), [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t part = begin / count, stop = std::min(end, (part + 1) * count);
      f(part, begin - part * count, stop - part * count);
      begin = stop;
    }
  });
}

}  // namespace plumb::gemm
