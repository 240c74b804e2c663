// Low-rank projections and principal angles.
#include "methods/common/low_rank.h"

#include <algorithm>
#include <string>

#include "ops/elementary.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods {
namespace {

void check_heights(const char* op, const Tensor& a, const Tensor& b) {
  if (a.rank() != 2 || b.rank() != 2 || a.size(0) != b.size(0))
    throw ShapeError(std::string(op) + ": takes bases [n, k] and [n, l], got " + to_string(a.shape()) + " and " + to_string(b.shape()));
}

void check_rank(const Tensor& x, int64_t k) {
  if (x.rank() != 2) throw ShapeError("project_rank: takes a matrix, got " + to_string(x.shape()));
  int64_t most = std::min(x.size(0), x.size(1));
  if (k < 1 || k > most) throw ValueError("project_rank: k = " + std::to_string(k) + " must lie in [1, " + std::to_string(most) + "]");
}

}  // namespace

Tensor project_rank(const Tensor& x, int64_t k) {
  check_rank(x, k);
  auto [u, s, vh] = svd(x.dtype() == f64 ? x : to(x, f32));
  return matmul(narrow(u, 1, 0, k) * narrow(s, 0, 0, k), narrow(vh, 0, 0, k));
}

Tensor project_rank_gram(const Tensor& x, int64_t k) {
  check_rank(x, k);
  if (x.size(0) > x.size(1)) return mT(project_rank_gram(mT(x), k));
  Tensor wide = to(x, f64), vectors = eigh(matmul(wide, mT(wide))).vectors;
  Tensor leading = narrow(vectors, 1, x.size(0) - k, k);
  return matmul(leading, matmul(mT(leading), wide));
}

Tensor shrink_singular_values(const Tensor& x, double threshold) {
  if (x.rank() != 2) throw ShapeError("shrink_singular_values: takes a matrix, got " + to_string(x.shape()));
  auto [u, s, vh] = svd(x.dtype() == f64 ? x : to(x, f32));
  return matmul(u * clamp_min(s - threshold, 0), vh);
}

Tensor principal_cosines(const Tensor& a, const Tensor& b) {
  check_heights("principal_cosines", a, b);
  return minimum(svd(matmul(mT(qr(to(a, f64)).q), qr(to(b, f64)).q)).s, ones({}, f64));
}

double subspace_distance(const Tensor& a, const Tensor& b) {
  check_heights("subspace_distance", a, b);
  Tensor base = qr(to(a, f64)).q, other = qr(to(b, f64)).q;
  Tensor outside = other - matmul(base, matmul(mT(base), other));
  return std::min(1.0, max(svd(outside).s).item());
}

}  // namespace plumb::methods
