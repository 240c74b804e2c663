// The slot of one kernel: its name, its signature, and a function for each device.
#pragma once
#include <plumb/plumb.h>

/// y = max(x, 0)², x and y row-major f32 of one shape.
inline constinit plumb::Kernel<void(const plumb::Tensor& x, plumb::Tensor& y)> squared_relu_kernel{"squared_relu"};

/// Fills the slot of the GPU: in kernel.cu, or in no_gpu.cpp where Plumb was installed without CUDA.
void set_gpu_kernel();
