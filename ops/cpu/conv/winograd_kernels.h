// The inner kernels of Winograd's convolution: one table an instruction set, the same set as the matrix product's.
// F(m × m, 3 × 3) makes m × m neighbouring output places of a 3 × 3 kernel g from (m + 2)² input places d with (m + 2)² multiplications,
//   y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A,
// so that a layer is (m + 2)² small matrix products over channels, one an entry ("frequency") of the transformed tiles. Channels lie in
// blocks of 16, the innermost dimension of everything here.
#pragma once
#include <cstdint>

#include "engine/core/half.h"

namespace plumb::conv {

inline constexpr int64_t kLanes = 16;  ///< channels of a block

/// The transforms of a tile, for 16 channels at once. A window is [row, column, 16], `pitch` floats a row; frequency f of tile t lies at
/// f · frequency + t · 16. Each call takes `n` tiles: neighbours in a row of tiles, or of a list of kernels.
struct WinogradTransforms {
  int tile;  ///< m
  /// Bᵀ d B of windows that begin m columns apart.
  void (*input)(const float* window, int64_t pitch, int64_t n, float* out, int64_t frequency);
  /// Aᵀ m A + bias into tiles of m × m places.
  void (*output)(const float* in, int64_t frequency, int64_t n, const float* bias, float* window, int64_t pitch);
  /// A dy Aᵀ, the adjoint of the above.
  void (*output_adjoint)(const float* window, int64_t pitch, int64_t n, float* out, int64_t frequency);
  /// G g Gᵀ of kernels [n, 9, 16]; kernel i goes to out + i · step.
  void (*weight)(const float* taps, int64_t n, float* out, int64_t step, int64_t frequency);
  /// Gᵀ u G of n kernels that lie `step` apart, into [n, 9, 16].
  void (*weight_adjoint)(const float* in, int64_t step, int64_t frequency, int64_t n, float* taps);

  int64_t frequencies() const { return int64_t{tile + 2} * (tile + 2); }
};

/// One frequency: m [m blocks, tiles, 16] (= or +=) v [channel blocks, tiles, 16] · u, for `panels` panels u [16 · blocks, columns].
struct WinogradProduct {
  int64_t tiles, blocks, panels;
  const float *v, *u;
  float* m;
  int64_t u_panel;  ///< from one panel of u to the next
  bool accumulate;
};

/// One frequency: u [16 · blocks, columns · panels] (= or +=) vᵀ · d, summed over the tiles of v [blocks, tiles, 16] and of d alike, which
/// may be overwritten.
struct WinogradAdjoint {
  int64_t tiles, blocks, panels;
  float *v, *d;
  float* u;
  int64_t u_row;
  bool accumulate;
};

struct WinogradKernels {
  int columns;  ///< of a panel: 16 or 32
  WinogradTransforms two, four;
  void (*multiply)(const WinogradProduct&);
  void (*multiply_adjoint)(const WinogradAdjoint&);
  /// to[j][i] = from[i][j] for 16 × 16 values.
  void (*transpose)(const float* const* from, float* const* to);
  void (*transpose_bf16)(const bfloat16* const* from, float* const* to) = nullptr;
  void (*transpose_to_bf16)(const float* const* from, bfloat16* const* to) = nullptr;
};

/// Null if this build lacks them.
const WinogradKernels* plain_winograd();
const WinogradKernels* avx2_winograd();
const WinogradKernels* avx512_winograd();
/// For tensors of bf16: products by dot products of pairs (ops/cpu/gemm/gemm_avx512bf16.cpp), for which transformed values are rounded to
/// bf16. The layout is the same, of which a transformed tile takes the first half of its 16 floats, and a transformed weight the first 8 of
/// the 16 rows of a block of channels, a row for every pair of them. Tiles of 4 × 4 would err too much: `four` is `two`.
const WinogradKernels* avx512bf16_winograd();

}  // namespace plumb::conv
