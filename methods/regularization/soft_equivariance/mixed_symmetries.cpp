// Data with mixed symmetries.
#include "methods/regularization/soft_equivariance/mixed_symmetries.h"

#include <fmt/format.h>

#include "engine/core/error.h"
#include "ops/activation.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::soft_equivariance {

Tensor inertia(const Tensor& masses, const Tensor& positions) {
  if (masses.rank() != 2 || positions.shape() != Shape{masses.size(0), masses.size(1), 3})
    throw ShapeError("inertia: takes masses [n, k] and positions [n, k, 3], got " + to_string(masses.shape()) + " and " +
                     to_string(positions.shape()));
  Tensor weighted = positions * unsqueeze(masses, 2);
  Tensor squares = sum(weighted * positions, {1, 2});              // Σ m ‖r‖², [n]
  Tensor products = matmul(transpose(weighted, 1, 2), positions);  // Σ m r rᵀ
  return reshape(squares, {-1, 1, 1}) * eye(3, -1, masses.dtype()) - products;
}

Tensor favour_axis(const Tensor& inertia, double noise, int64_t axis) {
  if (axis < 0 || axis > 2) throw IndexError(fmt::format("favour_axis: axis {} is outside [0, 3)", axis));
  std::vector<double> factors(3, 1);
  factors[static_cast<size_t>(axis)] += noise;  // (I e) eᵀ is I's column of the axis, and zeros
  return inertia * to(from_vector(factors), inertia.dtype());
}

Examples inertia_examples(int64_t n, const InertiaOptions& o, Generator& generator) {
  Tensor masses = softplus(randn({n, o.bodies}, {.generator = &generator})), positions = randn({n, o.bodies, 3}, {.generator = &generator});
  return {cat({masses, reshape(positions, {n, 3 * o.bodies})}, 1),
          reshape(favour_axis(inertia(masses, positions), o.noise, o.axis), {n, 9})};
}

Tensor mixed_similarity(const Tensor& x, double noise, Broken broken) {
  if (x.rank() != 3 || x.size(1) != 3 || x.size(2) != 3)
    throw ShapeError("mixed_similarity: takes three vectors a row, [n, 3, 3], got " + to_string(x.shape()));
  auto vector = [&x](int64_t i) { return select(x, 1, i); };
  Tensor angles =
      (cosine_similarity(vector(0), vector(1)) + cosine_similarity(vector(1), vector(2)) + cosine_similarity(vector(2), vector(0))) / 3.0;
  if (broken == Broken::scale) return angles - mean(norm(x, 2, {2}), {1}) * noise;
  auto length = [&vector](int64_t i) { return norm(vector(i), 1, {1}); };
  return angles - length(0) / (length(1) + length(2)) * noise;
}

Examples similarity_examples(int64_t n, double noise, Broken broken, Generator& generator) {
  Tensor x = randn({n, 3, 3}, {.generator = &generator});
  return {reshape(x, {n, 9}), unsqueeze(mixed_similarity(x, noise, broken), 1)};
}

}  // namespace plumb::methods::soft_equivariance
