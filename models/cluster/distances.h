// Squared Euclidean distances between rows, block by block: ‖a − b‖² = ‖a‖² + ‖b‖² − 2⟨a, b⟩ in f64 and from the whole numbers next to
// b's mean, since small distances would be lost by cancellation in f32, or far from the origin. (Whole, so that those of whole numbers stay
// exact.)
#pragma once
#include <algorithm>
#include <string>

#include "ops/elementary.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::cluster {

/// Throws ShapeError naming `op` unless a [n, d] and b [m, d] are matrices of one width with rows.
inline void check_rows(const char* op, const Tensor& a, const Tensor& b) {
  if (a.rank() != 2 || b.rank() != 2 || a.size(1) != b.size(1) || a.size(0) < 1 || b.size(0) < 1)
    throw ShapeError(std::string(op) + ": takes rows [n, d] and [m, d], got " + to_string(a.shape()) + " and " + to_string(b.shape()));
}

/// f(first row of a, squared distances [rows, m] to the rows of b) for blocks of a's rows.
template <typename F>
void each_distance_block(const Tensor& a, const Tensor& b, F&& f) {
  constexpr int64_t kBlock = 128;
  Tensor points = to(b, f64), centre = trunc(mean(points, {0}));
  centre = where(isfinite(centre), centre, 0.0);
  points = points - centre;
  Tensor norms = sum(square(points), {1});
  for (int64_t row = 0; row < a.size(0); row += kBlock) {
    Tensor x = to(narrow(a, 0, row, std::min(kBlock, a.size(0) - row)), f64) - centre;
    f(row, clamp_min(sum(square(x), {1}, true) + norms - matmul(x, mT(points)) * 2, 0));
  }
}

}  // namespace plumb::cluster
