// Robust distances between predictions: what consistency models and distilled ones are compared by.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::diffusion {

/// Of one r² an example:
///   pseudo_huber   √(r² + c²) − c              its gradient's length tends to 1
///   cauchy         ln(1 + r²/(2c²))            at most 1/(c√2), at r = c√2, then falls as 2/r
///   geman_mcclure  2 r²/(r² + 4c²)             tends to 0
enum class RobustMetric : uint8_t { pseudo_huber, cauchy, geman_mcclure };
/// r² = Σ_j (u_j − v_j)² over an example's numbers, or their mean (c then counts in root mean squares).
enum class SquareReduction : uint8_t { sum, mean };

/// u, v [B, ..] → [B]. Throws ValueError unless c > 0, ShapeError for shapes that differ.
Tensor robust_metric(RobustMetric kind, const Tensor& u, const Tensor& v, double c, SquareReduction reduction = SquareReduction::sum);

/// mean_j (√((u_j − v_j)² + c²) − c), [B]: a pseudo-Huber distance for each number (latent consistency models). Throws as robust_metric.
Tensor elementwise_huber(const Tensor& u, const Tensor& v, double c);

}  // namespace plumb::diffusion
