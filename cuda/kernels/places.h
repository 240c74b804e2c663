// Places of images, and what divisions to find them are done in.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

namespace plumb::cuda_backend {

/// Where element n of [planes, rows, columns] lies. I is what divisions are done in: 32 bits wherever they suffice, since a division in 64
/// bits costs more than the rest of a small window.
template <typename I>
struct Place {
  int64_t plane, row, column;
  __device__ Place(int64_t n, int64_t rows, int64_t columns) {
    const I line = static_cast<I>(n) / static_cast<I>(columns);
    column = static_cast<I>(n) % static_cast<I>(columns);
    row = line % static_cast<I>(rows);
    plane = line / static_cast<I>(rows);
  }
};

/// n / d for 0 ≤ n, 0 < d: in 32 bits where both fit.
__device__ inline int64_t quotient(int64_t n, int64_t d) {
  return n >> 32 == 0 && d >> 32 == 0 ? static_cast<int64_t>(static_cast<uint32_t>(n) / static_cast<uint32_t>(d)) : n / d;
}

/// Calls f.template operator()<I>() with an I that holds indices up to `count`.
template <typename F>
void visit_index_type(int64_t count, F&& f) {
  if (count < int64_t{1} << 31)
    f.template operator()<uint32_t>();
  else
    f.template operator()<uint64_t>();
}

}  // namespace plumb::cuda_backend
