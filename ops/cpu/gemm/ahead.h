// Prefetches the next panel into L2 while tiles are computed: to pack memory that comes from DRAM takes three times as long.
#pragma once
#include <cstdint>

#include "ops/cpu/gemm/pack.h"

namespace plumb::gemm {

/// Lines of memory that tiles call for: each of `tiles` tiles at every step p of k the one at `at` + p · `step`, the next tile from `next`
/// bytes further on. No memory is read that way, so it may reach beyond an operand.
struct Ahead {
  const char* at = nullptr;
  int64_t step = 0, next = 0, tiles = 0;

  /// Goes on to the tile after `count` more.
  void skip(int64_t count) {
    at += count * next;
    tiles = count < tiles ? tiles - count : 0;
  }
};

/// `lanes` lanes of x for tiles whose steps are `steps` elements along k: a lane a tile if elements are contiguous along k, else, if lanes
/// are, a line of every step a tile. Nothing if neither is.
template <typename T>
Ahead ahead_of(int64_t lanes, int64_t steps, Strided<T> x) {
  constexpr int64_t kLine = 64, kSize = sizeof(T);
  const char* const at = reinterpret_cast<const char*>(x.data);
  if (lanes > 0 && x.k == 1) return {at, steps * kSize, x.lane * kSize, lanes};
  if (lanes > 0 && x.lane == 1) return {at, steps * x.k * kSize, kLine, (lanes * kSize + kLine - 1) / kLine};
  return {};
}

}  // namespace plumb::gemm
