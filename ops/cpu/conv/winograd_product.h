// The products of Winograd's convolution, once for all instruction sets. Every sum is one chain of fused multiply-adds over at most 384
// channels (or over the tiles of a block), so its bits depend on neither the tile in registers nor the instruction set.
// Included by one file an instruction set; templates over that file's own vector type, as in ops/cpu/gemm/tile.h.
#pragma once
#include <algorithm>

#include "ops/cpu/conv/winograd_kernels.h"

namespace plumb::conv {

inline constexpr int64_t kChainBlocks = 24;  // of 16 channels

// kRows tiles × kVectors vectors of a panel. Vector v of row i of m lies at m + (v W / 16) · m_block + i · 16 + v W mod 16.
// A block of 16 channels is kSteps steps: 16, or 8 of pairs.
template <typename V, int kRows, int kVectors, int kSteps>
__attribute__((noinline)) void winograd_rows(int64_t blocks, const float* v, int64_t v_block, const float* u, float* m, int64_t m_block,
                                             bool accumulate) {
  typename V::Vector sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 16
    for (int j = 0; j < kVectors; ++j) sum[i][j] = V::broadcast(0.0f);
  for (int64_t block = 0; block < blocks; ++block, v += v_block, u += (kLanes - kSteps) * kVectors * V::kWidth)
#pragma GCC unroll 4
    for (int64_t c = 0; c < kSteps; ++c, u += kVectors * V::kWidth) {
      typename V::Vector row[kVectors];
#pragma GCC unroll 16
      for (int j = 0; j < kVectors; ++j) row[j] = V::load(u + j * V::kWidth);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        const typename V::Vector x = V::broadcast(v[i * kLanes + c]);
#pragma GCC unroll 16
        for (int j = 0; j < kVectors; ++j) sum[i][j] = V::fma(x, row[j], sum[i][j]);
      }
    }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 16
    for (int j = 0; j < kVectors; ++j) {
      float* to = m + j * V::kWidth / kLanes * m_block + i * kLanes + j * V::kWidth % kLanes;
      V::store(to, accumulate ? V::load(to) + sum[i][j] : sum[i][j]);
    }
}

template <typename V, int kRows, int kVectors, int kSteps>
void winograd_last_rows(int64_t rows, int64_t blocks, const float* v, int64_t v_block, const float* u, float* m, int64_t m_block,
                        bool accumulate) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return winograd_rows<V, kRows, kVectors, kSteps>(blocks, v, v_block, u, m, m_block, accumulate);
    winograd_last_rows<V, kRows - 1, kVectors, kSteps>(rows, blocks, v, v_block, u, m, m_block, accumulate);
  }
}

template <typename V, int kRows, int kVectors, int kSteps = kLanes>
void winograd_multiply(const WinogradProduct& p) {
  constexpr int64_t kColumns = kVectors * V::kWidth;
  const int64_t block = p.tiles * kLanes, chains = (p.blocks + kChainBlocks - 1) / kChainBlocks;
  for (int64_t panel = 0; panel < p.panels; ++panel)
    for (int64_t chain = 0; chain < chains; ++chain) {
      const int64_t first = p.blocks * chain / chains, blocks = p.blocks * (chain + 1) / chains - first;
      const float *v = p.v + first * block, *u = p.u + panel * p.u_panel + first * kLanes * kColumns;
      float* m = p.m + panel * (kColumns / kLanes) * block;
      const bool accumulate = p.accumulate || chain > 0;
      int64_t t = 0;
      for (; t + kRows <= p.tiles; t += kRows)
        winograd_rows<V, kRows, kVectors, kSteps>(blocks, v + t * kLanes, block, u, m + t * kLanes, block, accumulate);
      winograd_last_rows<V, kRows - 1, kVectors, kSteps>(p.tiles - t, blocks, v + t * kLanes, block, u, m + t * kLanes, block, accumulate);
    }
}

// kRows channels × kVectors vectors of u, summed over `steps` tiles, or pairs of tiles; blocks of d lie `block` apart.
template <typename V, int kRows, int kVectors>
__attribute__((noinline)) void winograd_adjoint_rows(int64_t steps, const float* v, const float* d, int64_t block, float* u, int64_t u_row,
                                                     bool accumulate) {
  typename V::Vector sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 16
    for (int j = 0; j < kVectors; ++j) sum[i][j] = V::broadcast(0.0f);
#pragma GCC unroll 4
  for (int64_t t = 0; t < steps; ++t, v += kLanes, d += kLanes) {
    typename V::Vector row[kVectors];
#pragma GCC unroll 16
    for (int j = 0; j < kVectors; ++j) row[j] = V::load(d + j * V::kWidth / kLanes * block + j * V::kWidth % kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const typename V::Vector x = V::broadcast(v[i]);
#pragma GCC unroll 16
      for (int j = 0; j < kVectors; ++j) sum[i][j] = V::fma(x, row[j], sum[i][j]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 16
    for (int j = 0; j < kVectors; ++j) {
      float* to = u + i * u_row + j * V::kWidth;
      V::store(to, accumulate ? V::load(to) + sum[i][j] : sum[i][j]);
    }
}

template <typename V, int kRows, int kVectors>
void winograd_multiply_steps(const WinogradAdjoint& p, int64_t steps) {
  constexpr int64_t kColumns = kVectors * V::kWidth;
  const int64_t block = p.tiles * kLanes;
  for (int64_t panel = 0; panel < p.panels; ++panel)
    for (int64_t c = 0; c < p.blocks * kLanes; c += kRows)
      winograd_adjoint_rows<V, kRows, kVectors>(steps, p.v + c / kLanes * block + c % kLanes, p.d + panel * (kColumns / kLanes) * block,
                                                block, p.u + c * p.u_row + panel * kColumns, p.u_row, p.accumulate);
}

template <typename V, int kRows, int kVectors>
void winograd_multiply_adjoint(const WinogradAdjoint& p) {
  winograd_multiply_steps<V, kRows, kVectors>(p, p.tiles);
}

}  // namespace plumb::conv
