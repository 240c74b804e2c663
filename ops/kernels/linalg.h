// Kernel slots of dense linear algebra: batches of row-major matrices, f64 or f32, no size 0.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb::kernel {

/// l lower triangular with l lᵀ = a; a, l [b, n, n]; reads the lower triangle. Throws ValueError if a is not positive definite.
inline constinit Kernel<void(const Tensor& a, Tensor& l)> cholesky{"cholesky"};
/// a x = b for a [b, n, n] and the right sides as rows: b, x [b, k, n]. Throws ValueError naming `op` if a is singular.
inline constinit Kernel<void(const char* op, const Tensor& a, const Tensor& b, Tensor& x)> solve{"solve"};
/// As solve, for a triangular a (with ones on its diagonal if `unit`).
inline constinit Kernel<void(const Tensor& a, const Tensor& b, bool upper, bool unit, Tensor& x)> triangular_solve{"triangular_solve"};
/// sign and log |det a| [b] of a [b, n, n]; 0 and −∞ where a is singular.
inline constinit Kernel<void(const Tensor& a, Tensor& sign, Tensor& logabs)> slogdet{"slogdet"};
/// a [b, m, n] = u diag(s) vh with u [b, m, k], s [b, k] descending, vh [b, k, n], k = min(m, n).
inline constinit Kernel<void(const Tensor& a, Tensor& u, Tensor& s, Tensor& vh)> svd{"svd"};
/// at [b, n, m] holds aᵀ; a = q r with qt [b, k, m] holding qᵀ and r [b, k, n] upper triangular.
inline constinit Kernel<void(const Tensor& at, Tensor& qt, Tensor& r)> qr{"qr"};
/// Eigenvalues w [b, n], ascending, and eigenvectors as rows of vt [b, n, n] of a symmetric a; reads the lower triangle.
inline constinit Kernel<void(const Tensor& a, Tensor& w, Tensor& vt)> eigh{"eigh"};

}  // namespace plumb::kernel
