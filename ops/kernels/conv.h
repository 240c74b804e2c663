// Kernel slots of convolution in two dimensions (one dimension is a height of 1).
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

// Images are row-major or, on a GPU, stored with channels last (engine/core/channels_last.h).
namespace plumb {

/// How a kernel is laid over an image, for height and width. Input row of output row y and kernel row k: y · stride − padding + k ·
/// dilation; rows outside the input count as zero. What is padded at the far end follows from the sizes.
struct ConvGeometry {
  int64_t stride[2] = {1, 1}, padding[2] = {0, 0}, dilation[2] = {1, 1};
  int64_t groups = 1;
};

namespace kernel {

/// Whether a GPU computes this convolution by direct sums: a result reads few channels (depthwise and almost), so there is no product to be
/// made.
inline bool sums_directly(const Shape& weight, int64_t groups) {
  constexpr int64_t kDirectChannels = 4;
  return weight[1] <= kDirectChannels && weight[0] / groups <= kDirectChannels;
}

/// y [N, O, Y, X] = x [N, C, H, W] convolved with weight [O, C / groups, kh, kw], plus bias [O] (may be undefined). x has any strides;
/// weight, bias and y are row-major; on a GPU weight has any strides and y either order. All of one floating type; 16-bit types are summed
/// in f32.
inline constinit Kernel<void(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvGeometry& g, Tensor& y)> conv{"conv"};
/// The adjoint in x: x [N, C, H, W] = Σ over all that y [N, O, Y, X] (any strides) took from it, plus bias [C] (may be undefined).
inline constinit Kernel<void(const Tensor& y, const Tensor& weight, const Tensor& bias, const ConvGeometry& g, Tensor& x)> conv_transpose{
    "conv_transpose"};
/// The adjoint in the weight: weight [O, C / groups, kh, kw] = Σ over batch and places of y · x. x has any strides; y and weight are
/// row-major, on a GPU y has any strides and weight either order.
inline constinit Kernel<void(const Tensor& y, const Tensor& x, const ConvGeometry& g, Tensor& weight)> conv_weight{"conv_weight"};

}  // namespace kernel
}  // namespace plumb
