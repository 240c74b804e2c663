// Group norm of images with channels last, [n, s, C]; the contracts are the slots' (ops/kernels/norm.h). No operand is empty.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::cuda_backend {

void group_norm_last(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias, double eps, Tensor& y, Tensor& mean,
                     Tensor& rstd);
void group_norm_last_backward(const Tensor& dy, const Tensor& x, int64_t groups, const Tensor& mean, const Tensor& rstd,
                              const Tensor& weight, Tensor& dx, Tensor& dweight, Tensor& dbias);

}  // namespace plumb::cuda_backend
