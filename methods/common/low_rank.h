// Dense matrices of low rank, and the angles between subspaces.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::methods {

/// The matrix of rank at most k nearest to x [m, n] (Eckart & Young 1936): its k largest singular values kept. f64 if x is, else f32.
/// Throws ShapeError unless x is a matrix, ValueError unless 1 ≤ k ≤ min(m, n).
Tensor project_rank(const Tensor& x, int64_t k);
/// The same in f64 through the eigenvectors of the smaller of x xᵀ and xᵀ x: for long matrices far cheaper, but singular values below √ε of
/// the largest are not told apart.
Tensor project_rank_gram(const Tensor& x, int64_t k);
/// A copy of x [m, n] with singular values max(s − threshold, 0): the proximal step of the nuclear norm.
Tensor shrink_singular_values(const Tensor& x, double threshold);

/// Cosines of the principal angles between the column spaces of a [n, k] and b [n, l], descending: min(k, l) numbers in [0, 1], f64.
/// Columns need not be orthonormal, but must be independent. Throws ShapeError for different heights.
Tensor principal_cosines(const Tensor& a, const Tensor& b);
/// ‖(I − Q_a Q_aᵀ) Q_b‖₂ with orthonormal bases Q: the sine of the largest angle from b's columns to a's space, in [0, 1].
double subspace_distance(const Tensor& a, const Tensor& b);

}  // namespace plumb::methods
