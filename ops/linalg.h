// Dense linear algebra over the last two dimensions; all leading ones are a batch. f64 and f32 (others throw DTypeError). Throws
// ShapeError for matrices that are not square where they must be, or sizes that do not fit. NaN or infinity in a matrix throws ValueError
// wherever it is factored (svd, qr, eigh, cholesky, pinv, lstsq); in the others, NaN comes out where it reaches.
#pragma once
#include "engine/core/tensor.h"

namespace plumb {

/// The lower triangular L with L Lᵀ = a, [.., n, n], for a symmetric positive definite a, of which the lower triangle is read.
/// The gradient is given as a symmetric matrix. Throws ValueError if a is not positive definite.
Tensor cholesky(const Tensor& a);
/// x with a x = b: a [.., n, n], b [.., n, k], or a vector [n]; leading dimensions broadcast. One a for a batch of b is factored once.
/// Throws ValueError if a is singular, to the last bit: nearly singular matrices give large numbers.
Tensor solve(const Tensor& a, const Tensor& b);
/// As solve for a triangular a, whose other triangle (and, with `unit`, whose diagonal, taken as ones) is not read.
Tensor triangular_solve(const Tensor& a, const Tensor& b, bool upper = false, bool unit = false);
/// a⁻¹. Throws ValueError if a is singular.
Tensor inv(const Tensor& a);

struct SignAndLogDet {
  Tensor sign, logabs;
};
/// det a = sign · e^logabs, both [..]; 0 and −∞ for a singular a (whose gradient throws). The sign has gradient 0.
SignAndLogDet slogdet(const Tensor& a);

struct Svd {
  Tensor u, s, vh;
};
/// a [.., m, n] = u diag(s) vh with u [.., m, k], s [.., k] descending, vh [.., k, n], k = min(m, n). No derivative.
Svd svd(const Tensor& a);

struct Qr {
  Tensor q, r;
};
/// a [.., m, n] = q r with orthonormal columns q [.., m, k] and upper triangular r [.., k, n], k = min(m, n). No derivative.
Qr qr(const Tensor& a);

struct Eigh {
  Tensor values, vectors;
};
/// a = V diag(w) Vᵀ for a symmetric a, of which the lower triangle is read; w [.., n] ascending, V's columns orthonormal. No derivative.
Eigh eigh(const Tensor& a);

/// The Moore–Penrose inverse [.., n, m] of a [.., m, n]: singular values up to `tolerance` times the largest count as 0
/// (a negative one stands for max(m, n) ε). No derivative.
Tensor pinv(const Tensor& a, double tolerance = -1);
/// The shortest x [.., n, k] that minimises ‖a x − b‖: a [.., m, n] of any rank, b [.., m, k] or [m]; singular values as in pinv.
/// No derivative.
Tensor lstsq(const Tensor& a, const Tensor& b, double tolerance = -1);

}  // namespace plumb
