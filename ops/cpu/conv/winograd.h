// 3 × 3 convolution with a stride of 1 by Winograd's minimal filtering (winograd_kernels.h): 2.25 times fewer multiplications than the sum
// itself for tiles of 2 × 2, 4 times fewer for tiles of 4 × 4. What each costs in accuracy is said in engine/core/precision.h.
#pragma once
#include "ops/cpu/conv/window.h"

namespace plumb::conv {

struct WinogradTransforms;

/// A weight of 3 × 3 kernels, in any order of its channels: entry (in, out, tap) at data[in · in_step + out · out_step + tap], or
/// + 8 − tap if `flipped`.
struct WinogradWeight {
  const float* data;
  int64_t in_step, out_step;
  bool flipped;
};

/// out [batch, m, height, width] from `channels` channels, padded by `padding` before the first row and column.
struct WinogradConvolution {
  int64_t batch, channels, m, height, width;
  int64_t padding[2];
};

/// The transforms that allow_winograd asks for, if this convolution is worth them, else null.
const WinogradTransforms* winograd_for(const WinogradConvolution& p);

/// out ← the convolution of `in`, plus bias[m] (null: none). `out` is row-major.
void convolve_winograd(const WinogradConvolution& p, const WinogradTransforms& transforms, const Source<float>& in, const WinogradWeight& weight, const float* bias, Tensor& out);

/// weight [m, channels, 3, 3] ← the sum over the batch and the places of y [batch, m, height, width] · in: the adjoint in the weight.
void winograd_weight(const WinogradConvolution& p, const WinogradTransforms& transforms, const Source<float>& in, const Source<float>& y, float* weight);

}  // namespace plumb::conv
