// What the operations of dense linear algebra share: checks, and matrices as kernels want them. For operations only.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::detail::linalg {

/// Throws DTypeError unless f64 or f32, ShapeError below rank 2.
void check_matrix(const char* op, const Tensor& a);
/// And ShapeError unless square.
void check_square(const char* op, const Tensor& a);
/// Throws ValueError naming the first matrix of the batch with a NaN or infinity.
void check_finite(const char* op, const Tensor& a);

/// The dimensions before the last two.
Shape batch_of(const Tensor& a);
/// batch and then rest.
Shape joined(Shape batch, const Shape& rest);
/// Row-major data of a as [batch, m, n], outside the graph.
Tensor matrices(const Tensor& a);

/// A new tensor of a's batch and type, and the flat view [batch, rest..] of it that kernels fill.
struct Output {
  Output(const char* op, const Tensor& a, const Shape& rest);
  Tensor tensor, flat;
};

/// Matrices and right sides of one batch shape and one type. Throws DeviceError, DTypeError or ShapeError where they do not fit.
struct System {
  Tensor a, b;
};
System checked_system(const char* op, const Tensor& a, const Tensor& b);

/// The product in the operands' own type, autocast or not.
Tensor product(const Tensor& a, const Tensor& b);

}  // namespace plumb::detail::linalg
