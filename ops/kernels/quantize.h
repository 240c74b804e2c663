// Kernel slots of fake quantisation. x is row-major [outer, channels, inner]; scale, zero_point and step are [channels] in the type that
// x is computed in.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb {

/// The integers that numbers are rounded to.
struct QuantizationGrid {
  double low, high;
};

namespace kernel {

/// y = (clamp(round(x / scale + zero_point)) − zero_point) scale.
inline constinit Kernel<void(const Tensor& x, const Tensor& scale, const Tensor& zero_point, QuantizationGrid grid, Tensor& y)>
    fake_quantize{"fake_quantize"};
/// dx = dy where round(x / scale + zero_point) lies in the grid's range, else 0.
inline constinit Kernel<void(const Tensor& dy, const Tensor& x, const Tensor& scale, const Tensor& zero_point, QuantizationGrid grid,
                             Tensor& dx)>
    fake_quantize_backward{"fake_quantize_backward"};
/// y = round(clamp(x / step)) step.
inline constinit Kernel<void(const Tensor& x, const Tensor& step, QuantizationGrid grid, Tensor& y)> learned_step_quantize{
    "learned_step_quantize"};
/// dx = dy where x / step lies inside the range, else 0; dstep = gradient_scale Σ dy (round(clamp(x / step)) − [inside] x / step).
inline constinit Kernel<void(const Tensor& dy, const Tensor& x, const Tensor& step, QuantizationGrid grid, double gradient_scale,
                             Tensor& dx, Tensor& dstep)>
    learned_step_backward{"learned_step_backward"};

}  // namespace kernel
}  // namespace plumb
