// The kernels that the engine itself needs: moving and filling elements.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb::kernel {

/// dst ← src, converted to dst's type; equal shapes, any strides. Between the CPU and a GPU, or two GPUs, it runs on the GPU (dst's).
inline constinit Kernel<void(const Tensor& src, Tensor& dst)> copy{"copy", Operands::anywhere};
/// Every element of dst ← value; any strides.
inline constinit Kernel<void(Scalar value, Tensor& dst)> fill{"fill"};
/// into ← into + x; equal shapes and types.
inline constinit Kernel<void(const Tensor& x, Tensor& into)> accumulate{"accumulate"};

}  // namespace plumb::kernel
