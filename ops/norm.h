// Normalisation: elements shifted and scaled to mean 0 and variance 1 over some dimensions, then by learned weights.
// Variances are those of the elements themselves (divided by n). 16-bit types are computed in f32; weights may be f32 then.
// Weights and biases may be undefined (1 and 0). All throw ShapeError if shapes do not fit.
#pragma once
#include "engine/core/tensor.h"

namespace plumb {

/// y = (x − μ) / √(σ² + eps) · weight + bias, with mean μ and variance σ² over the last dimensions, whose sizes `normalized_shape` gives
/// (Ba et al. 2016). weight and bias have that shape.
Tensor layer_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight = {}, const Tensor& bias = {}, double eps = 1e-5);
struct AddNorm {
  Tensor sum;   ///< x + branch
  Tensor norm;  ///< layer_norm(sum)
};
/// The residual sum x + branch and its layer_norm, in one pass: what stands between two parts of a pre-norm network. Both have one shape.
/// The norm is made for the product that follows: under autocast, and where the sum is f32, it is of autocast's type, which is what that
/// product would round it to. Throws ShapeError if shapes do not fit, DTypeError for integers.
AddNorm add_layer_norm(const Tensor& x, const Tensor& branch, const Shape& normalized_shape, const Tensor& weight = {},
                       const Tensor& bias = {}, double eps = 1e-5);
/// y = x / √(mean(x²) + eps) · weight over the last dimensions (Zhang & Sennrich 2019).
Tensor rms_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight = {}, double eps = 1e-6);

/// As layer_norm, with μ and σ² over each of `groups` groups of neighbouring channels of each example; x [n, C, ..], weight and bias [C]
/// (Wu & He 2018). Throws ShapeError if C is not a multiple of groups.
Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight = {}, const Tensor& bias = {}, double eps = 1e-5);
/// group_norm with a group for each channel (Ulyanov et al. 2016).
Tensor instance_norm(const Tensor& x, const Tensor& weight = {}, const Tensor& bias = {}, double eps = 1e-5);

struct BatchNorm {
  Tensor y;
  Tensor mean, variance;  ///< [C], of this batch, outside the graph
};
/// Training: μ and σ² of each channel over all examples of the batch; x [n, C, ..], weight and bias [C] (Ioffe & Szegedy 2015).
/// Throws ValueError if a channel has fewer than two elements.
BatchNorm batch_norm_training(const Tensor& x, const Tensor& weight = {}, const Tensor& bias = {}, double eps = 1e-5);
/// Evaluation: μ and σ² are given, and constants to the derivative.
Tensor batch_norm(const Tensor& x, const Tensor& mean, const Tensor& variance, const Tensor& weight = {}, const Tensor& bias = {},
                  double eps = 1e-5);

struct RunningStatistics {
  Tensor mean, variance;
};
/// running + momentum (batch − running), the batch's variance counted as that of a sample of `count` elements a channel (· count / (count −
/// 1)).
RunningStatistics update_running(const RunningStatistics& running, const BatchNorm& batch, double momentum = 0.1);
/// The same in place and in one kernel; `batches`, an i64 that counts them, goes up by 1 if it is given. Throws ShapeError unless both
/// statistics are row-major [C] of one type and the count is one i64, DeviceError unless all lie on the batch's device.
void update_running_(RunningStatistics& running, const BatchNorm& batch, double momentum = 0.1, Tensor batches = {});

}  // namespace plumb
