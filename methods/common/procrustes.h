// Rigid alignment of two sets of points that belong together in pairs: the rotation that brings one nearest to the other.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::methods {

/// S = Σ_k (x_k − x̄)(y_k − ȳ)ᵀ [D, D], for rows x_k and y_k of matrices [n, D]. Throws ShapeError unless both are matrices of one shape
/// with at least one row.
Tensor cross_scatter(const Tensor& x, const Tensor& y);

/// The rotation R [D, D], det R = +1, that minimises Σ_k ‖R (x_k − x̄) − (y_k − ȳ)‖² (Kabsch 1976): with S = U Σ Vᵀ,
///   R = V diag(1, …, 1, det(V Uᵀ)) Uᵀ
/// where a reflection would be nearer, too. Computed in f64, returned in x's type, outside the graph. Where S is of low rank (n ≤ D), R is
/// arbitrary beyond the span of the centred rows. Throws as cross_scatter, and ValueError for numbers that are not finite.
Tensor kabsch_rotation(const Tensor& x, const Tensor& y);

/// (x_k − x̄) Rᵀ + ȳ with R = kabsch_rotation(x, y): the rows of x turned and moved onto those of y.
Tensor procrustes_align(const Tensor& x, const Tensor& y);

}  // namespace plumb::methods
