// A product as the drivers see it, and the two ways to run it.
#pragma once
#include <algorithm>
#include <cstdint>

#include "ops/cpu/gemm/blocking.h"
#include "ops/cpu/gemm/gemm.h"
#include "ops/cpu/gemm/kernels.h"

namespace plumb::gemm {

/// Of elements of T, packed as P for the kernels.
template <typename T, typename P>
struct Product {
  using C = Accumulator<T>;
  int64_t m, n, k;
  MatrixView<T> a, b;
  const P* packed_b;  // if set, all of b as pack_b writes it, and b is not read
  C* c;               // sums, in the type they are computed in; the result itself unless T is a 16-bit type
  int64_t c_row, c_column;
  bool accumulate;  // c += …
  bool transposed;  // this product is Cᵀ = Bᵀ · Aᵀ of the caller's
  T* out;           // the caller's C; null if it is c
  int64_t out_row;
  bool accumulate_out;
  const Epilogue<T>* epilogue;
};

/// The length of k in elements P, which is how the drivers and kernels count it.
template <typename T, typename P>
int64_t packed_k(const Product<T, P>& p) {
  return ceil_div(p.k, kSteps<P>);
}

/// pack_panels for `depth` elements P from element k on, as far as the product has steps.
template <typename T, typename P>
void pack_block(const Product<T, P>& p, int width, int64_t lanes, int64_t k, int64_t depth, const T* x, int64_t x_lane, int64_t x_k,
                P* packed) {
  pack_panels(width, lanes, std::min(depth * kSteps<P>, p.k - k * kSteps<P>), Strided<T>{x + k * kSteps<P> * x_k, x_lane, x_k}, packed);
}

/// Copies elements P [begin, end) of k of B into panels, on all threads: whole blocks of k one after the other, each with all its panels.
template <typename T, typename P>
void pack_b(const Product<T, P>& p, const Kernels<P>& kernels, int64_t begin, int64_t end, P* packed);

/// Where pack_b, begun at 0, puts panel q of the block of k that starts at k and is `depth` long.
template <typename T, typename P>
const P* packed_panel(const Product<T, P>& p, int width, int64_t k, int64_t depth, int64_t q) {
  return p.packed_b + k * ((p.n + width - 1) / width * width) + q * width * depth;
}

/// All threads share a packed B; each packs blocks of rows of A for itself. For m ≥ n.
template <typename T, typename P>
void multiply_by_rows(const Product<T, P>& p, const Kernels<P>& kernels);

/// All threads share a packed A (or read it where it lies); each packs panels of B for itself. For m < n.
template <typename T, typename P>
void multiply_by_columns(const Product<T, P>& p, const Kernels<P>& kernels);

/// Columns [j, j_end) of a product of one row (p.m = 1), for a B that is contiguous along rows or columns and not packed.
template <typename T>
void multiply_row(const Product<T, T>& p, int64_t j, int64_t j_end);

/// Epilogue of the finished rows [i, i_end) and columns [j, j_end).
template <typename T, typename P>
void finish(const Product<T, P>& p, int64_t i, int64_t i_end, int64_t j, int64_t j_end);

}  // namespace plumb::gemm
