// Convolution in one and two dimensions, and transposed convolution, which is its adjoint. Images are [batch, channels, height, width],
// sequences [batch, channels, length]; without the batch dimension the result has none either. Any strides are taken as they are
// (channels-last images too), results are row-major. 16-bit types are summed in f32; under Autocast, f32 is taken in the autocast type.
// All throw ShapeError if sizes, channels and groups do not fit, ValueError for options out of range, DTypeError for mixed or integer
// types.
#pragma once
#include "engine/core/tensor.h"
#include "ops/pad.h"
#include "ops/size2.h"

namespace plumb {

struct Conv2dOptions {
  Size2 stride = 1;
  Size2 padding = 0;
  Size2 dilation = 1;
  int64_t groups = 1;                         ///< channels fall into so many groups that see only their own; = channels: depthwise
  PadMode padding_mode = PadMode::constant;   ///< of zeros, reflect, replicate or circular
  bool same = false;  ///< padding that keeps the size (stride 1 only; `padding` is not read); an odd place goes to the end
};
struct Conv1dOptions {
  int64_t stride = 1;
  int64_t padding = 0;
  int64_t dilation = 1;
  int64_t groups = 1;
  PadMode padding_mode = PadMode::constant;
  bool same = false;
};

/// y[n, o, i, j] = bias[o] + Σ_{c, p, q} weight[o, c, p, q] · x[n, group(o) + c, i·stride − padding + p·dilation, j·stride − padding +
/// q·dilation]. x [N, C, H, W], weight [O, C / groups, kh, kw], bias [O] or undefined → [N, O, H', W'], H' = ⌊(H + 2 padding − dilation (kh
/// − 1) − 1) / stride⌋ + 1.
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, const Conv2dOptions& options = {});
/// The same along one dimension: x [N, C, L], weight [O, C / groups, k].
Tensor conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, const Conv1dOptions& options = {});

struct ConvTranspose2dOptions {
  Size2 stride = 1;
  Size2 padding = 0;
  Size2 output_padding =
      0;  ///< added to the size at the end, to choose among those that the convolution maps to x's; below stride or dilation
  Size2 dilation = 1;
  int64_t groups = 1;
};
struct ConvTranspose1dOptions {
  int64_t stride = 1;
  int64_t padding = 0;
  int64_t output_padding = 0;
  int64_t dilation = 1;
  int64_t groups = 1;
};

/// The adjoint of conv2d with the same options: every input place adds weight · x to the places a convolution would have read.
/// x [N, C, H, W], weight [C, O / groups, kh, kw], bias [O] or undefined → [N, O, H', W'],
/// H' = (H − 1) stride − 2 padding + dilation (kh − 1) + output_padding + 1.
Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, const ConvTranspose2dOptions& options = {});
/// The same along one dimension: x [N, C, L], weight [C, O / groups, k].
Tensor conv_transpose1d(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, const ConvTranspose1dOptions& options = {});

}  // namespace plumb
