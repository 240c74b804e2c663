// Functions with one exact symmetry and several broken ones: moments of inertia with a favoured axis, cosine similarities that see lengths.
#pragma once
#include <cstdint>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods::soft_equivariance {

struct Examples {
  Tensor inputs, targets;  ///< f32 [n, inputs], [n, outputs]
};

/// I = Σ_i m_i (‖r_i‖² 1 − r_i r_iᵀ): masses [n, k], positions [n, k, 3] → [n, 3, 3]. Throws ShapeError for others.
Tensor inertia(const Tensor& masses, const Tensor& positions);
/// I + noise (I e) eᵀ with e the axis, 0, 1 or 2: only turns about that axis (and mirrors beside it) still commute. Throws IndexError for
/// another axis.
Tensor favour_axis(const Tensor& inertia, double noise, int64_t axis);

struct InertiaOptions {
  int64_t bodies = 5;
  double noise = 0.3;
  int64_t axis = 2;
};
/// Masses softplus(N(0, 1)), positions N(0, 1); inputs are all masses, then all positions, targets the tensor row by row, [n, 9].
Examples inertia_examples(int64_t n, const InertiaOptions& options, Generator& generator);

/// What a cosine similarity is made to depend on besides angles.
enum class Broken : uint8_t {
  scale,     ///< − noise · mean_i ‖x_i‖₂: rotations alone are kept
  rotation,  ///< − noise · ‖x_1‖₁ / (‖x_2‖₁ + ‖x_3‖₁): scaling alone is kept
};
/// Three vectors x [n, 3, 3] → [n]: the mean of cos(x_1, x_2), cos(x_2, x_3), cos(x_3, x_1), less what is broken. Throws ShapeError.
Tensor mixed_similarity(const Tensor& vectors, double noise, Broken broken);
/// Vectors N(0, 1), inputs [n, 9], targets [n, 1].
Examples similarity_examples(int64_t n, double noise, Broken broken, Generator& generator);

}  // namespace plumb::methods::soft_equivariance
