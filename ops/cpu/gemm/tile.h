// The tile kernel, once for all instruction sets: a block of C held in registers while A and B stream past.
// Included by one file an instruction set. Everything here is a template over that file's own vector type, so that no function
// compiled for a newer machine can be linked into code for an older one.
#pragma once
#include <cstdint>

#include "ops/cpu/gemm/kernels.h"

namespace plumb::gemm {

// Sums over one block of k: c(i, j) = fma(a(i, k−1), b(k−1, j), … fma(a(i, 0), b(0, j), 0)). Each element is one chain in the order
// of p, whatever the tile, so its bits depend on neither the tiling nor the instruction set (but for pairs: see gemm_avx512bf16.cpp).
template <typename V, int kRows, int kVectors>
struct Tile {
  using T = typename V::Scalar;
  using C = Sum<T>;
  typename V::Vector sum[kRows][kVectors];

  // Row p of B begins at b_row(p).
  template <typename RowOfB>
  __attribute__((always_inline))
  Tile(int64_t k, const T* a, int64_t a_row, int64_t a_k, const RowOfB& b_row, const char* ahead, int64_t ahead_step) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; i++)
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; v++) sum[i][v] = V::broadcast(T{});
#pragma GCC unroll 4
    for (int64_t p = 0; p < k; p++) {
      __builtin_prefetch(ahead, 0, 2);
      ahead += ahead_step;
      typename V::Vector row[kVectors];
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; v++) row[v] = V::load(b_row(p) + v * V::kWidth);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; i++) {
        const typename V::Vector x = V::broadcast(a[p * a_k + i * a_row]);
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; v++) sum[i][v] = V::fma(x, row[v], sum[i][v]);
      }
    }
  }

  __attribute__((always_inline)) void store(C* c, int64_t c_row, bool accumulate) const {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; i++)
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; v++) {
        C* out = c + i * c_row + v * V::kWidth;
        V::store(out, accumulate ? V::add(V::load(out), sum[i][v]) : sum[i][v]);
      }
  }
};

// c(i, j) (= or +=) values(i, j) for the p.n columns that exist, with any strides.
template <typename V, int kRows, int kWidth>
void store_part(const Sum<typename V::Scalar>* values, const PanelProduct<typename V::Scalar>& p, Sum<typename V::Scalar>* c) {
  for (int i = 0; i < kRows; i++)
    for (int64_t j = 0; j < p.n; j++) {
      auto& out = c[i * p.c_row + j * p.c_column];
      out = p.accumulate ? out + values[i * kWidth + j] : values[i * kWidth + j];
    }
}

// kStep is the distance of two columns of a packed A, and 0 for an A that is read where it lies. kScattered: B has b_rows.
template <typename V, int kRows, int kVectors, int kStep, bool kScattered>
__attribute__((noinline)) void multiply_tile(const PanelProduct<typename V::Scalar>& p, const typename V::Scalar* a,
                                             Sum<typename V::Scalar>* c, int64_t tile_row) {
#pragma GCC unroll 16
  for (int i = 0; i < kRows; i++) __builtin_prefetch(c + i * p.c_row, 1);
  const int64_t a_row = kStep ? 1 : p.a_row, a_k = kStep ? kStep : p.a_k;
  const bool calls = tile_row < p.ahead.tiles;  // else for what is at hand
  const char* const ahead = calls ? p.ahead.at + tile_row * p.ahead.next : reinterpret_cast<const char*>(a);
  const Tile<V, kRows, kVectors> tile(p.k, a, a_row, a_k, [&](int64_t k) { return p.b + (kScattered ? p.b_rows[k] : k * p.b_k); }, ahead,
                                      calls ? p.ahead.step : a_k * static_cast<int64_t>(sizeof *a));
  constexpr int kWidth = kVectors * V::kWidth;
  if (p.n == kWidth && p.c_column == 1) return tile.store(c, p.c_row, p.accumulate);
  Sum<typename V::Scalar> values[kRows * kWidth];
  tile.store(values, kWidth, false);
  store_part<V, kRows, kWidth>(values, p, c);
}

template <typename V, int kRows, int kVectors, int kStep, bool kScattered>
void multiply_last_rows(int64_t rows, const PanelProduct<typename V::Scalar>& p, const typename V::Scalar* a, Sum<typename V::Scalar>* c) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return multiply_tile<V, kRows, kVectors, kStep, kScattered>(p, a, c, p.ahead.tiles);
    multiply_last_rows<V, kRows - 1, kVectors, kStep, kScattered>(rows, p, a, c);
  }
}

template <typename V, int kRows, int kVectors, int kStep, bool kScattered>
void multiply_rows(const PanelProduct<typename V::Scalar>& p) {
  const int64_t whole = p.m / kRows, a_panel = kStep ? kStep * p.k : kRows * p.a_row;
  for (int64_t i = 0; i < whole; i++)
    multiply_tile<V, kRows, kVectors, kStep, kScattered>(p, p.a + i * a_panel, p.c + i * kRows * p.c_row, i);
  multiply_last_rows<V, kRows - 1, kVectors, kStep, kScattered>(p.m - whole * kRows, p, p.a + whole * a_panel,
                                                                p.c + whole * kRows * p.c_row);
}

template <typename V, int kRows, int kVectors>
void multiply_panel(const PanelProduct<typename V::Scalar>& p) {
  if (p.b_rows) multiply_rows<V, kRows, kVectors, kRows, true>(p);
  else if (p.packed) multiply_rows<V, kRows, kVectors, kRows, false>(p);
  else multiply_rows<V, kRows, kVectors, 0, false>(p);
}

}  // namespace plumb::gemm
