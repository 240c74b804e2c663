// How element-wise operations call their kernels: promotion, broadcasting, the output. For operations only.
#pragma once
#include "engine/core/tensor.h"
#include "ops/kernels/pointwise.h"

namespace plumb::detail {

/// y = op(x; a, b) of x's type, outside the graph.
Tensor unary(const char* name, UnaryOp op, const Tensor& x, double a = 0, double b = 0);
/// x itself if floating, else x as f32.
Tensor floating(const Tensor& x);
/// Throws DeviceError unless a and b live on one device.
void check_same_device(const char* name, const Tensor& a, const Tensor& b);
/// Throws DTypeError for bool, under the operation's name: kernels do not know for whom they compute.
void check_numbers(const char* name, DType type);
/// Throws DTypeError for an integer tensor `a` that is to take fractions.
void check_holds(const char* name, const Tensor& a, bool fractions);
/// out = op(a, b), broadcast; of types that kernel::binary takes. Outside the graph.
Tensor binary(const char* name, BinaryOp op, const Tensor& a, const Tensor& b);

}  // namespace plumb::detail
