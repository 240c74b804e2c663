// Kernel slots of convolution in two dimensions (one dimension is a height of 1).
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb {

/// How a kernel is laid over an image, for height and width. Input row of output row y and kernel row k: y · stride − padding + k · dilation;
/// rows outside the input count as zero. What is padded at the far end follows from the sizes.
struct ConvGeometry {
  int64_t stride[2] = {1, 1}, padding[2] = {0, 0}, dilation[2] = {1, 1};
  int64_t groups = 1;
};

namespace kernel {

/// y [N, O, Y, X] = x [N, C, H, W] convolved with weight [O, C / groups, kh, kw], plus bias [O] (may be undefined). x has any strides;
/// weight, bias and y are row-major. All of one floating type; 16-bit types are summed in f32.
inline constinit Kernel<void(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvGeometry& g, Tensor& y)> conv{"conv"};
/// The adjoint in x: x [N, C, H, W] = Σ over all that y [N, O, Y, X] (any strides) took from it, plus bias [C] (may be undefined).
inline constinit Kernel<void(const Tensor& y, const Tensor& weight, const Tensor& bias, const ConvGeometry& g, Tensor& x)> conv_transpose{"conv_transpose"};
/// The adjoint in the weight: weight [O, C / groups, kh, kw] = Σ over batch and places of y · x. y is row-major, x has any strides.
inline constinit Kernel<void(const Tensor& y, const Tensor& x, const ConvGeometry& g, Tensor& weight)> conv_weight{"conv_weight"};

}  // namespace kernel
}  // namespace plumb
