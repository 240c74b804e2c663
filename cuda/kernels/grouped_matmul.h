// Grouped products for operands of any type and strides, on any GPU: what a faster kernel falls back on.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::cuda_backend {

void grouped_matmul(const Tensor& a, const Tensor& b, const Tensor& bias, const Tensor& offsets, Tensor& out);
void grouped_outer(const Tensor& a, const Tensor& b, const Tensor& offsets, Tensor& out);

}  // namespace plumb::cuda_backend
