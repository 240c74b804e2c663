// Outputs that say different things: how far the columns of a batch are from being uncorrelated.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::methods {

/// C = F_cᵀ F_c / (B − 1), [D, D], with F_c = F − its mean over the batch: F [B, D]. Throws ShapeError unless F is a matrix, ValueError for
/// fewer than two rows.
Tensor batch_covariance(const Tensor& outputs);
/// (1 / D) Σ_{i ≠ j} C_ij²: the covariance term of VICReg (Bardes et al., ICLR 2022). It grows with the fourth power of the outputs' scale,
/// and is a statistic of the batch: parts of a batch do not add up to it. Throws as batch_covariance.
Tensor off_diagonal_covariance(const Tensor& outputs);

}  // namespace plumb::methods
