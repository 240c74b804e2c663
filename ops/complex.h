// Arithmetic of complex numbers stored as a last axis of 2 (real part, imaginary part), as the Fourier transforms have them. Sums and real
// multiples are those of plain tensors. All throw ShapeError unless the last dimension is 2; the products DTypeError unless floating.
#pragma once
#include "engine/core/tensor.h"

namespace plumb {

/// (a + ib)(c + id) = (ac − bd) + i(ad + bc); shapes broadcast.
Tensor complex_mul(const Tensor& a, const Tensor& b);
/// (a + ib)(c − id): the first times the conjugate of the second.
Tensor complex_mul_conj(const Tensor& a, const Tensor& b);
/// a − ib.
Tensor complex_conj(const Tensor& x);
/// |x| = √(a² + b²), without the last axis. Its derivative at 0 is taken as 0.
Tensor complex_abs(const Tensor& x);

}  // namespace plumb
