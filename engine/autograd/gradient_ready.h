// A backward pass that tells when each leaf's gradient is complete, so that it can be used while the pass goes on.
#pragma once
#include <functional>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb {

/// The leaves that `output` depends on, in the order in which a backward pass completes their gradients.
std::vector<Tensor> leaves_by_readiness(const Tensor& output);

/// output.backward(), and ready(leaf) for each of leaves_by_readiness(output) once this pass adds nothing more to its grad() (which stays
/// undefined if no gradient came). Leaves with hooks, which run at the end, come last. `ready` may replace the gradient.
void backward_by_leaf(const Tensor& output, const std::function<void(const Tensor& leaf)>& ready);

}  // namespace plumb
