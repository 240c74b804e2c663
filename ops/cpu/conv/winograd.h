// 3 × 3 convolution with a stride of 1 by Winograd's minimal filtering (winograd_kernels.h): 2.25 times fewer multiplications than the sum
// itself for tiles of 2 × 2, 4 times fewer for tiles of 4 × 4. What each costs in accuracy is said in engine/core/precision.h.
#pragma once
#include "ops/cpu/conv/window.h"

namespace plumb::conv {

struct WinogradTransforms;

/// A weight of 3 × 3 kernels, in any order of its channels: entry (in, out, tap) at data[in · in_step + out · out_step + tap], or
/// + 8 − tap if `flipped`.
template <typename T>
struct WinogradWeight {
  const T* data;
  int64_t in_step, out_step;
  bool flipped;
};

/// out [batch, m, height, width] from `channels` channels, padded by `padding` before the first row and column.
struct WinogradConvolution {
  int64_t batch, channels, m, height, width;
  int64_t padding[2];
};

/// The transforms that allow_winograd asks for on tensors of T (float or bfloat16), if this convolution is worth them, else null. bf16 is
/// worth them only where there are dot products of pairs, and its transformed values are rounded to bf16: docs/precision.md has the error.
template <typename T>
const WinogradTransforms* winograd_for(const WinogradConvolution& p);

/// out ← the convolution of `in`, plus bias[m] (null: none). `out` is row-major.
template <typename T>
void convolve_winograd(const WinogradConvolution& p, const WinogradTransforms& transforms, const Source<T>& in,
                       const WinogradWeight<T>& weight, const T* bias, Tensor& out);

/// weight [m, channels, 3, 3] ← the sum over the batch and the places of y [batch, m, height, width] · in: the adjoint in the weight.
template <typename T>
void winograd_weight(const WinogradConvolution& p, const WinogradTransforms& transforms, const Source<T>& in, const Source<T>& y,
                     T* weight);

}  // namespace plumb::conv
