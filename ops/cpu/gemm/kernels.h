// The inner kernels of the matrix product: one table an instruction set, chosen once, when the first product runs.
#pragma once
#include <cstdint>

#include "ops/cpu/gemm/ahead.h"
#include "ops/cpu/gemm/pack.h"

namespace plumb::gemm {

/// avx512bf16 is avx512 with dot products of pairs for bf16.
enum class InstructionSet { plain, avx2, avx512, avx512bf16 };

/// C[0:m, 0:n] (= or +=) A · B for one panel of B, at most Kernels::columns wide.
/// of elements P: float, double, or pairs of steps, which `k` counts.
///   C(i, j) at c[i · c_row + j · c_column],  A(i, p) at a[i · a_row + p · a_k],  B(p, j) at b[p · b_k + j]
/// B always has all Kernels::columns columns in memory; those from n on are computed and dropped. With `packed`, A lies in panels of
/// Kernels::rows rows, k · rows apart, as pack_panels writes them, and a_row and a_k are not read. With `b_rows`, for a packed A only,
/// the rows of B lie anywhere: B(p, j) at b[b_rows[p] + j], and b_k is not read. Tiles, one every Kernels::rows rows, call for what is
/// `ahead`.
template <typename P>
struct PanelProduct {
  int64_t m, n, k;
  const P* a;
  int64_t a_row, a_k;
  bool packed;
  const P* b;
  int64_t b_k;
  Sum<P>* c;
  int64_t c_row, c_column;
  bool accumulate;
  const int64_t* b_rows = nullptr;
  Ahead ahead = {};
};

template <typename P>
struct Kernels {
  int rows, columns;  // of the tile that is held in registers
  void (*multiply_panel)(const PanelProduct<P>&);
};

/// Kernels of one instruction set; null if this build or this machine lacks it. T is float or double.
template <typename T>
const Kernels<T>* plain_kernels();
template <typename T>
const Kernels<T>* avx2_kernels();
template <typename T>
const Kernels<T>* avx512_kernels();
const Kernels<Bf16Pair>* avx512bf16_kernels();

/// The kernels in use.
template <typename T>
const Kernels<T>& kernels();
/// Those for products of bf16; null if the instruction set in use has none, and bf16 is unpacked to float.
const Kernels<Bf16Pair>* pair_kernels();

/// The instruction set in use: the best that the machine has, unless use_instruction_set chose another.
InstructionSet instruction_set();
/// Chooses another one, for tests and benchmarks. Throws ConfigError if the machine or the build lacks it.
void use_instruction_set(InstructionSet set);

}  // namespace plumb::gemm
