// Convolution of volumes and its adjoint: x [batch, channels, depth, height, width], or without the batch dimension; results are row-major.
// Types, autocast and errors as in ops/conv.h.
#pragma once
#include <concepts>
#include <cstdint>

#include "engine/core/tensor.h"

namespace plumb {

/// Three sizes as an option; one number stands for all.
struct Size3 {
  int64_t depth, height, width;
  constexpr Size3(std::integral auto all) : depth(static_cast<int64_t>(all)), height(depth), width(depth) {}
  constexpr Size3(int64_t depth_, int64_t height_, int64_t width_) : depth(depth_), height(height_), width(width_) {}
  friend constexpr bool operator==(const Size3&, const Size3&) = default;
};

struct Conv3dOptions {
  Size3 stride = 1;
  Size3 padding = 0;   ///< of zeros
  Size3 dilation = 1;
  int64_t groups = 1;  ///< channels fall into so many groups that see only their own
};

/// y[n, o, i, j, k] = bias[o] + Σ_{c, p, q, r} weight[o, c, p, q, r] · x[n, group(o) + c, i·stride − padding + p·dilation, …]:
/// x [N, C, D, H, W], weight [O, C / groups, kd, kh, kw], bias [O] or undefined → [N, O, D', H', W'] with
/// D' = ⌊(D + 2 padding − dilation (kd − 1) − 1) / stride⌋ + 1, and so on. The planes of a window along the depth become channels of one
/// convolution of images, which costs memory for kd copies of x.
Tensor conv3d(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, const Conv3dOptions& options = {});

struct ConvTranspose3dOptions {
  Size3 stride = 1;
  Size3 padding = 0;
  Size3 output_padding = 0;  ///< added to the size at the end; below stride or dilation
  Size3 dilation = 1;
  int64_t groups = 1;
};

/// The adjoint of conv3d with the same options: x [N, C, D, H, W], weight [C, O / groups, kd, kh, kw], bias [O] or undefined
/// → [N, O, D', H', W'] with D' = (D − 1) stride − 2 padding + dilation (kd − 1) + output_padding + 1, and so on.
Tensor conv_transpose3d(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, const ConvTranspose3dOptions& options = {});

}  // namespace plumb
