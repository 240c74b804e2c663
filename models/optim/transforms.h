// Changes to gradients before a step: functions on a list of gradients, and the same as steps of an optimiser's pipeline:
//   adamw.add_transform(optim::clip_norm(1.0));   adamw.add_transform(optim::perpendicular());
#pragma once
#include "models/optim/optimizer.h"

namespace plumb::optim {

/// Scales all by max_norm / norm if their common norm exceeds max_norm; returns the norm before. A norm that is not finite is only
/// returned. Throws ValueError unless max_norm > 0.
double clip_norm(const std::vector<Tensor>& gradients, double max_norm);
/// Limits each element to [−limit, limit]. Throws ValueError unless limit > 0.
void clip_value(const std::vector<Tensor>& gradients, double limit);
/// ⊥Grad (Prieto et al., ICLR 2025), each tensor for itself: g ← g − ⟨w, g⟩/⟨w, w⟩ w, what would only change the length of the weights
/// w taken out; then, with keep_norm, scaled back to its length before. What is left of a gradient along w is noise of rounding: a rest
/// shorter than 1e-12 ‖g‖ (1e-6 ‖g‖ in f32, 1e-2 ‖g‖ in 16-bit types) becomes 0. Weights of zeros leave their gradient as it is.
void make_perpendicular(const std::vector<Tensor>& parameters, const std::vector<Tensor>& gradients, bool keep_norm = true);
/// g ← g − Σ_k ⟨g, b_k⟩ b_k over all tensors together: keeps g off directions b_k (gradient projection memory). The directions must be
/// orthonormal sets shaped like the gradients.
void project_out(const std::vector<Tensor>& gradients, const std::vector<std::vector<Tensor>>& directions);
/// Makes `directions` orthonormal in place (modified Gram–Schmidt); those that depend on earlier ones are dropped.
void orthonormalize(std::vector<std::vector<Tensor>>& directions);

GradientTransform clip_norm(double max_norm);
GradientTransform clip_value(double limit);
GradientTransform perpendicular(bool keep_norm = true);
/// Applies to a fixed list of parameters, which must all have a gradient.
GradientTransform project_out(std::vector<std::vector<Tensor>> directions);

}  // namespace plumb::optim
