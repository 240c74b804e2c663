// Kernel slots of grouped matrix products. Operands have any strides; offsets (i64 [E + 1], row-major) have been checked.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb::kernel {

/// Rows offsets[e] … offsets[e + 1] of out = those of a · b[e] (+ bias[e], if defined); a [rows, k], b [E, k, n], bias [E, n] row-major;
/// out [rows, n] row-major.
inline constinit Kernel<void(const Tensor& a, const Tensor& b, const Tensor& bias, const Tensor& offsets, Tensor& out)> grouped_matmul{
    "grouped_matmul"};
/// out[e] = (rows offsets[e] … offsets[e + 1] of a)ᵀ · those of b; a [rows, m], b [rows, n]; out [E, m, n] row-major, of their type or, on
/// a GPU, of f32.
inline constinit Kernel<void(const Tensor& a, const Tensor& b, const Tensor& offsets, Tensor& out)> grouped_outer{"grouped_outer"};
/// out[e] = the sum of rows offsets[e] … offsets[e + 1] of x [rows, n] row-major; out [E, n] row-major, of x's type or of f32 for 16 bits.
inline constinit Kernel<void(const Tensor& x, const Tensor& offsets, Tensor& out)> grouped_sum{"grouped_sum"};

}  // namespace plumb::kernel
