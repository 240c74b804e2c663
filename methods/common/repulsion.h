// Losses that drive parameters away from others: what is known to be bad in weight space is kept at a distance.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::methods {

/// With Dist = mean_k ‖θ − θ_k‖² / scale:
///   negative_l2      −Dist                unbounded: θ runs away if nothing else holds it
///   inverse_l2       1 / max(Dist, 1e-8)  no gradient below the floor
///   exponential_l2   exp(−α Dist)         bounded, and so is its gradient
enum class Repulsion : uint8_t { negative_l2, inverse_l2, exponential_l2 };

struct RepulsionOptions {
  Repulsion kind = Repulsion::exponential_l2;
  double alpha = 1;
  double scale = 1;  ///< of squared distances; Dist at the start, for example, so that α and weights do not depend on the network's size
};

/// d_k = ‖θ − θ_k‖² over all tensors together, [K]; differentiable in θ alone. Throws ValueError without anchors or parameters, ShapeError
/// for an anchor of other tensors.
Tensor squared_distances(const std::vector<Tensor>& parameters, const std::vector<std::vector<Tensor>>& anchors);
/// The loss, a scalar. Throws as squared_distances, and ValueError unless scale > 0.
Tensor repulsion_loss(const std::vector<Tensor>& parameters, const std::vector<std::vector<Tensor>>& anchors,
                      const RepulsionOptions& options = {});
/// The distance of Adapt-then-Unlearn's released code, V = K/2 · mean over tensors of Σ_k mean (θ − θ_k)²: every tensor counts alike, a
/// bias as much as a kernel. Its losses are −γ V, γ/V and 100 exp(−γ V).
Tensor per_tensor_distance(const std::vector<Tensor>& parameters, const std::vector<std::vector<Tensor>>& anchors);

}  // namespace plumb::methods
