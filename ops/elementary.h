// Functions of one tensor, element by element, with their derivatives. Integers are taken as f32.
#pragma once
#include "engine/core/tensor.h"

namespace plumb {

Tensor abs(const Tensor& x);      ///< derivative sign(x), 0 at 0; keeps integers
Tensor sign(const Tensor& x);     ///< −1, 0 or 1; derivative 0; keeps integers
Tensor square(const Tensor& x);   ///< x²; keeps integers
Tensor sqrt(const Tensor& x);
Tensor rsqrt(const Tensor& x);    ///< 1/√x
Tensor reciprocal(const Tensor& x);
Tensor exp(const Tensor& x);
Tensor exp2(const Tensor& x);
Tensor expm1(const Tensor& x);    ///< eˣ − 1, accurate near 0
Tensor log(const Tensor& x);
Tensor log2(const Tensor& x);
Tensor log10(const Tensor& x);
Tensor log1p(const Tensor& x);    ///< log(1 + x), accurate near 0
Tensor sin(const Tensor& x);
Tensor cos(const Tensor& x);
Tensor tan(const Tensor& x);
Tensor asin(const Tensor& x);
Tensor acos(const Tensor& x);
Tensor atan(const Tensor& x);
Tensor sinh(const Tensor& x);
Tensor cosh(const Tensor& x);
Tensor tanh(const Tensor& x);
Tensor asinh(const Tensor& x);
Tensor acosh(const Tensor& x);
Tensor atanh(const Tensor& x);
Tensor erf(const Tensor& x);      ///< 2/√π ∫₀ˣ e^(−t²) dt
Tensor erfc(const Tensor& x);     ///< 1 − erf(x), accurate for large x
Tensor erfinv(const Tensor& x);   ///< the inverse of erf on (−1, 1)
Tensor lgamma(const Tensor& x);   ///< log |Γ(x)|
Tensor digamma(const Tensor& x);  ///< d log Γ(x) / dx
/// The n-th derivative of digamma. Throws ValueError for n < 0.
Tensor polygamma(int n, const Tensor& x);
Tensor sigmoid(const Tensor& x);  ///< 1 / (1 + e⁻ˣ)
/// Rounding has derivative 0. round takes halves to even.
Tensor floor(const Tensor& x);
Tensor ceil(const Tensor& x);
Tensor round(const Tensor& x);
Tensor trunc(const Tensor& x);
/// NaN becomes 0, without gradient there.
Tensor nan_to_zero(const Tensor& x);

}  // namespace plumb
