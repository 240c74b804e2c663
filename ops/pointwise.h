// Arithmetic, comparisons and selection, element by element. Shapes broadcast (NumPy's rule), types are promoted (array-API rules;
// a plain number keeps the tensor's type, unless it is of a higher kind: a fraction makes integers f32, an integer makes bools i64). Throws
// ShapeError when shapes do not broadcast, DeviceError when devices differ.
#pragma once
#include "engine/core/tensor.h"

namespace plumb {

Tensor add(const Tensor& a, const Tensor& b);
Tensor add(const Tensor& a, Scalar b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, Scalar b);
/// True division: integers give f32.
Tensor div(const Tensor& a, const Tensor& b);
Tensor div(const Tensor& a, Scalar b);
Tensor neg(const Tensor& a);
/// ⌊a / b⌋, and a − b⌊a / b⌋ (of the sign of b). Derivatives: 0 for floor_divide; 1 and −⌊a / b⌋ for remainder. Integer division by 0 gives
/// 0.
Tensor floor_divide(const Tensor& a, const Tensor& b);
Tensor remainder(const Tensor& a, const Tensor& b);
/// a^b. Integers are taken as f32. The derivative in b is a^b log a, taken as 0 where a = 0 and b ≥ 0.
Tensor pow(const Tensor& a, const Tensor& b);
Tensor pow(const Tensor& a, Scalar b);
Tensor pow(Scalar a, const Tensor& b);
/// The larger (smaller) of the two; NaN if either is. Equal elements share the gradient half and half.
Tensor maximum(const Tensor& a, const Tensor& b);
Tensor minimum(const Tensor& a, const Tensor& b);
/// The angle of (b, a) in (−π, π].
Tensor atan2(const Tensor& a, const Tensor& b);
/// √(a² + b²) without overflow.
Tensor hypot(const Tensor& a, const Tensor& b);
/// a log b, with 0 log b = 0.
Tensor xlogy(const Tensor& a, const Tensor& b);
/// log(eᵃ + eᵇ) without overflow.
Tensor logaddexp(const Tensor& a, const Tensor& b);
/// a + weight (b − a).
Tensor lerp(const Tensor& a, const Tensor& b, Scalar weight);
Tensor lerp(const Tensor& a, const Tensor& b, const Tensor& weight);

inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator+(const Tensor& a, Scalar b) { return add(a, b); }
inline Tensor operator+(Scalar a, const Tensor& b) { return add(b, a); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
Tensor operator-(const Tensor& a, Scalar b);
Tensor operator-(Scalar a, const Tensor& b);
inline Tensor operator-(const Tensor& a) { return neg(a); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
inline Tensor operator*(const Tensor& a, Scalar b) { return mul(a, b); }
inline Tensor operator*(Scalar a, const Tensor& b) { return mul(b, a); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }
inline Tensor operator/(const Tensor& a, Scalar b) { return div(a, b); }
Tensor operator/(Scalar a, const Tensor& b);

// Comparisons give bool tensors, which have no derivative.
Tensor operator==(const Tensor& a, const Tensor& b);
Tensor operator!=(const Tensor& a, const Tensor& b);
Tensor operator<(const Tensor& a, const Tensor& b);
Tensor operator<=(const Tensor& a, const Tensor& b);
Tensor operator>(const Tensor& a, const Tensor& b);
Tensor operator>=(const Tensor& a, const Tensor& b);
Tensor operator==(const Tensor& a, Scalar b);
Tensor operator!=(const Tensor& a, Scalar b);
Tensor operator<(const Tensor& a, Scalar b);
Tensor operator<=(const Tensor& a, Scalar b);
Tensor operator>(const Tensor& a, Scalar b);
Tensor operator>=(const Tensor& a, Scalar b);
Tensor logical_and(const Tensor& a, const Tensor& b);
Tensor logical_or(const Tensor& a, const Tensor& b);
Tensor logical_xor(const Tensor& a, const Tensor& b);
Tensor logical_not(const Tensor& a);
Tensor isnan(const Tensor& a);
Tensor isinf(const Tensor& a);
Tensor isfinite(const Tensor& a);

/// condition ? a : b; condition is bool. The gradient goes to the chosen side only.
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);
Tensor where(const Tensor& condition, const Tensor& a, Scalar b);
Tensor where(const Tensor& condition, Scalar a, const Tensor& b);
/// min(max(x, low), high). The derivative is 1 where low ≤ x ≤ high, else 0; between tensors that of minimum and maximum. For integers
/// bounds are cut off to integers. Throws ValueError for a bound that is NaN.
Tensor clamp(const Tensor& x, double low, double high);
Tensor clamp(const Tensor& x, const Tensor& low, const Tensor& high);
Tensor clamp_min(const Tensor& x, double low);
Tensor clamp_max(const Tensor& x, double high);

// In place. Where gradients are recorded these are the plain operation followed by an assignment (engine/autograd/inplace.h).
void add_(Tensor& a, const Tensor& b);
void sub_(Tensor& a, const Tensor& b);
void mul_(Tensor& a, const Tensor& b);
void div_(Tensor& a, const Tensor& b);
void mul_(Tensor& a, Scalar b);
void add_(Tensor& a, Scalar b);
void fill_(Tensor& a, Scalar value);
void zero_(Tensor& a);
/// target ← source, converted and broadcast.
void copy_(Tensor& target, const Tensor& source);
/// a ← a where condition is false, value where it is true.
void masked_fill_(Tensor& a, const Tensor& condition, Scalar value);

/// g summed over the dimensions along which `shape` was broadcast to g's: the derivative of broadcasting.
Tensor sum_to(Tensor g, const Shape& shape);

}  // namespace plumb
