// Kernel slots of normalisation. All tensors are row-major, on a GPU those of a shape [n, C, s] may be stored with channels last instead
// ([n, s, C], all of a call alike); statistics, weights and their gradients are in the type that arithmetic on x is done in (f32 for 16-bit
// types).
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb::kernel {

/// Each row of s = x + branch, [rows, columns]: y = (s − mean) · rstd · weight + bias, rstd = 1/√(variance + eps). weight and bias
/// [columns] may be undefined. branch may be, and sum with it: then s is x; else sum ← s, of x's type. Where x is f32, branch and y may be
/// of a 16-bit type. Not centred: mean is 0 (and not written), the variance is the mean square.
inline constinit Kernel<void(const Tensor& x, const Tensor& branch, const Tensor& weight, const Tensor& bias, bool centred, double eps,
                             Tensor& sum, Tensor& y, Tensor& mean, Tensor& rstd)>
    row_norm{"row_norm"};
/// Its gradients, given that of y and that of sum (undefined: 0): dx of x, and the same numbers as dbranch of the branch's type. Those that
/// are undefined are not computed. sum is x where there was no branch; mean is undefined when not centred.
inline constinit Kernel<void(const Tensor& dy, const Tensor& dsum, const Tensor& sum, const Tensor& mean, const Tensor& rstd,
                             const Tensor& weight, Tensor& dx, Tensor& dbranch, Tensor& dweight, Tensor& dbias)>
    row_norm_backward{"row_norm_backward"};

/// x [n, C, s]: each of `groups` groups of channels of each example is normalised: mean, rstd [n · groups]; weight, bias [C] may be
/// undefined.
inline constinit Kernel<void(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias, double eps, Tensor& y, Tensor& mean,
                             Tensor& rstd)>
    group_norm{"group_norm"};
/// Its gradients; those that are undefined are not computed.
inline constinit Kernel<void(const Tensor& dy, const Tensor& x, int64_t groups, const Tensor& mean, const Tensor& rstd,
                             const Tensor& weight, Tensor& dx, Tensor& dweight, Tensor& dbias)>
    group_norm_backward{"group_norm_backward"};

/// y = silu(group_norm(x)): one after the other on the CPU, in one pass on a GPU, where x and y have channels last.
inline constinit Kernel<void(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias, double eps, Tensor& y, Tensor& mean,
                             Tensor& rstd)>
    group_norm_silu{"group_norm_silu"};
/// Its gradients; those that are undefined are not computed. The norm's result is computed again.
inline constinit Kernel<void(const Tensor& dy, const Tensor& x, int64_t groups, const Tensor& mean, const Tensor& rstd,
                             const Tensor& weight, const Tensor& bias, Tensor& dx, Tensor& dweight, Tensor& dbias)>
    group_norm_silu_backward{"group_norm_silu_backward"};

/// Mean, variance (divided by the count) and 1/√(variance + eps) of each channel of x [n, C, s]: [C].
inline constinit Kernel<void(const Tensor& x, double eps, Tensor& mean, Tensor& variance, Tensor& rstd)> channel_moments{"channel_moments"};
/// mean ← mean + momentum (batch_mean − mean), variance alike towards batch_variance · correction, batches (one i64, may be undefined) ←
/// batches + 1. All [C], of any floating type, rounded to it after every step.
inline constinit Kernel<void(const Tensor& batch_mean, const Tensor& batch_variance, double correction, double momentum, Tensor& mean,
                             Tensor& variance, Tensor& batches)>
    running_statistics{"running_statistics"};
/// y = (x − mean) · rstd · weight + bias, all [C].
inline constinit Kernel<void(const Tensor& x, const Tensor& mean, const Tensor& rstd, const Tensor& weight, const Tensor& bias, Tensor& y)>
    channel_norm{"channel_norm"};
/// Its gradients, with mean and rstd functions of x (`moments`) or constants; those that are undefined are not computed.
inline constinit Kernel<void(const Tensor& dy, const Tensor& x, const Tensor& mean, const Tensor& rstd, const Tensor& weight, bool moments,
                             Tensor& dx, Tensor& dweight, Tensor& dbias)>
    channel_norm_backward{"channel_norm_backward"};

}  // namespace plumb::kernel
