// The slots' contracts (ops/kernels/conv.h) by direct sums, for any geometry; meant for groups of few channels. No operand is empty.
#pragma once
#include "ops/kernels/conv.h"

namespace plumb::cuda_backend {

void conv_directly(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvGeometry& g, Tensor& y);
void conv_transpose_directly(const Tensor& y, const Tensor& weight, const Tensor& bias, const ConvGeometry& g, Tensor& x);
void conv_weight_directly(const Tensor& y, const Tensor& x, const ConvGeometry& g, Tensor& weight);

}  // namespace plumb::cuda_backend
