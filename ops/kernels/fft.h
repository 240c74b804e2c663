// Kernel slots of Fourier transforms along one dimension.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb::kernel {

/// y_k = scale Σ_j x_j e^(−2πi jk/n), with the other sign if `inverse`, of complex x and y [outer, n, inner, 2]. All row-major, of one
/// type, f64 or f32; so below. n ≥ 1.
inline constinit Kernel<void(const Tensor& x, bool inverse, double scale, Tensor& y)> fft{"fft"};
/// The coefficients 0 … ⌊n/2⌋ of real x [outer, n, inner]: y [outer, ⌊n/2⌋ + 1, inner, 2].
inline constinit Kernel<void(const Tensor& x, double scale, Tensor& y)> rfft{"rfft"};
/// Real y [outer, n, inner], y_j = scale Σ_{k<n} X_k e^(2πi jk/n), X's coefficients 0 … ⌊n/2⌋ given by x [outer, ⌊n/2⌋ + 1, inner, 2], the
/// rest their conjugates. Imaginary parts of coefficients that must be real are not read.
inline constinit Kernel<void(const Tensor& x, double scale, Tensor& y)> irfft{"irfft"};

}  // namespace plumb::kernel
