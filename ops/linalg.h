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
/// a [.., m, n] = u diag(s) vh with u [.., m, k], s [.., k] descending, vh [.., k, n], k = min(m, n). Of the two signs that a pair of
/// vectors may have it has the one that makes positive the first element of nearly the largest magnitude (at least 0.9 of it) in vh's row,
/// on every device. Gradients through u and vh need distinct singular values (where two are equal, directions that turn their vectors into
/// each other count nothing) and, unless a is square, none that is 0; those through s alone are always right.
Svd svd(const Tensor& a);

struct Qr {
  Tensor q, r;
};
/// a [.., m, n] = q r with orthonormal columns q [.., m, k] and upper triangular r [.., k, n], k = min(m, n). The gradient throws
/// ValueError where r has a 0 on its diagonal: the first k columns must be independent.
Qr qr(const Tensor& a);

struct Eigh {
  Tensor values, vectors;
};
/// a = V diag(w) Vᵀ for a symmetric a, of which the lower triangle is read; w [.., n] ascending, V's columns orthonormal, signed as svd's
/// rows. The gradient is given as a symmetric matrix; equal eigenvalues are taken as svd takes equal singular values.
Eigh eigh(const Tensor& a);

/// The Moore–Penrose inverse [.., n, m] of a [.., m, n]: singular values up to `tolerance` times the largest count as 0
/// (a negative one stands for max(m, n) ε). The derivative is that for a number of them that stays as it is.
Tensor pinv(const Tensor& a, double tolerance = -1);
/// The shortest x [.., n, k] that minimises ‖a x − b‖: a [.., m, n] of any rank, b [.., m, k] or [m]; singular values as in pinv.
Tensor lstsq(const Tensor& a, const Tensor& b, double tolerance = -1);

/// e^a = Σ_k aᵏ / k! of square matrices, by scaling and squaring around a Padé approximant (Higham 2005). One scale, that of the largest
/// matrix, serves the whole batch.
Tensor matrix_exp(const Tensor& a);
/// The Kronecker product: every element of a times the whole of b, in a's places. Sizes multiply dimension by dimension; the lower rank
/// gets leading dimensions of 1. Types as in a product of numbers. Throws ShapeError for ranks above 4.
Tensor kron(const Tensor& a, const Tensor& b);

}  // namespace plumb
