// Matrix products. 16-bit types are summed in f32. Under Autocast, f32 operands are taken in the autocast type.
#pragma once
#include <string>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb {

/// The matrix product over the last two dimensions, [.., m, k] · [.., k, n] → [.., m, n]; leading dimensions broadcast. A vector counts as
/// a row on the left and as a column on the right, and that dimension disappears. Throws ShapeError if the inner sizes differ, leading ones
/// do not broadcast or one of them is a single number; DTypeError unless both are floating and of one type, since products do not promote.
Tensor matmul(const Tensor& a, const Tensor& b);
/// [b, m, k] · [b, k, n] → [b, m, n], without broadcasting. Throws ShapeError for other shapes, DTypeError as matmul.
Tensor bmm(const Tensor& a, const Tensor& b);
/// x · weightᵀ + bias: x [.., in], weight [out, in], bias [out] or undefined → [.., out]. Throws ShapeError for other shapes,
/// DTypeError as matmul.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {});
/// a_i b_j: [m], [n] → [m, n]. A multiplication, so types promote. Throws ShapeError unless both are vectors.
Tensor outer(const Tensor& a, const Tensor& b);
/// Σ_i a_i b_i of two vectors. Throws ShapeError for other ranks or two lengths, DTypeError as matmul.
Tensor dot(const Tensor& a, const Tensor& b);

}  // namespace plumb
