// Kernel slots of normalisation. All tensors are row-major; statistics, weights and their gradients are in the type that arithmetic on
// x is done in (f32 for 16-bit types).
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb::kernel {

/// Each row of x [rows, columns]: y = (x − mean) · rstd · weight + bias, rstd = 1/√(variance + eps). weight and bias [columns] may be undefined.
/// Not centred: mean is 0 (and not written), the variance is the mean square.
inline constinit Kernel<void(const Tensor& x, const Tensor& weight, const Tensor& bias, bool centred, double eps, Tensor& y, Tensor& mean, Tensor& rstd)>
    row_norm{"row_norm"};
/// Its gradients; those that are undefined are not computed. mean is undefined when not centred.
inline constinit Kernel<void(const Tensor& dy, const Tensor& x, const Tensor& mean, const Tensor& rstd, const Tensor& weight, Tensor& dx, Tensor& dweight, Tensor& dbias)>
    row_norm_backward{"row_norm_backward"};

}  // namespace plumb::kernel
