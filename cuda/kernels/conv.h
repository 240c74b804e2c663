// Own convolutions: direct sums where a group has few channels, which are bound by memory and which libraries are slow at, and products
// without tensor cores for everything else, where there is no library.
#pragma once
#include "ops/kernels/conv.h"

namespace plumb::cuda_backend {

/// The slots' contracts (ops/kernels/conv.h) for every geometry and type.
void own_conv(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvGeometry& g, Tensor& y);
void own_conv_transpose(const Tensor& y, const Tensor& weight, const Tensor& bias, const ConvGeometry& g, Tensor& x);
void own_conv_weight(const Tensor& y, const Tensor& x, const ConvGeometry& g, Tensor& weight);
}  // namespace plumb::cuda_backend
