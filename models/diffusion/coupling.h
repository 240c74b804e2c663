// Which noise goes with which example: minibatch optimal transport (Pooladian et al. 2023; Tong et al. 2024), for consistency training and
// for flow matching.
#pragma once
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::diffusion {

/// The permutation π with the least Σ_a ‖x_a − z_π(a)‖², x and z [B, ..]: exact, since a plan with uniform marginals and as many points on
/// both sides is a permutation. O(B³) on the host. Throws ShapeError for shapes that differ, ValueError for numbers that are not finite.
std::vector<int64_t> optimal_coupling(const Tensor& x, const Tensor& z);

/// z's rows in the order that optimal_coupling gives them, within groups of `group` consecutive examples (the last may be smaller). Coupled
/// over large groups in few dimensions, x + σz no longer has the law that noise drawn alone gives it when sampling. Throws ValueError
/// unless group ≥ 1.
Tensor coupled(const Tensor& x, const Tensor& z, int64_t group);

}  // namespace plumb::diffusion
