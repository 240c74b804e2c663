// Subspace iteration.
#include "methods/classical/matrix_completion/truncated_svd.h"

#include <algorithm>
#include <string>

#include "methods/common/low_rank.h"
#include "ops/join.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace plumb::methods::matrix_completion {
namespace {

Tensor first_columns(const LowRankPlusSparse& a, int64_t q, const SvdOptions& o) {
  int64_t n = a.pattern.columns(), known = o.start.defined() ? std::min(o.start.size(1), q) : 0;
  if (known == q) return narrow(o.start, 1, 0, q);
  Tensor drawn = randn({n, q - known}, {.dtype = f64, .generator = o.generator});
  return known == 0 ? drawn : cat({narrow(o.start, 1, 0, known), drawn}, 1);
}

}  // namespace

Tensor LowRankPlusSparse::times(const Tensor& x) const {
  Tensor y = sparse_multiply(pattern.by_row(), values, x) * scale;
  return left.defined() ? y + matmul(left, matmul(mT(right), x)) : y;
}

Tensor LowRankPlusSparse::transposed_times(const Tensor& y) const {
  Tensor x = sparse_multiply(pattern.by_column(), values, y) * scale;
  return left.defined() ? x + matmul(right, matmul(mT(left), y)) : x;
}

int64_t LowRankPlusSparse::multiply_adds(int64_t q) const {
  int64_t low_rank = left.defined() ? (pattern.rows() + pattern.columns()) * left.size(1) * q : 0;
  return pattern.count() * q + low_rank;
}

TruncatedSvd truncated_svd(const LowRankPlusSparse& a, int64_t k, const SvdOptions& o) {
  int64_t m = a.pattern.rows(), n = a.pattern.columns(), most = std::min(m, n);
  if (k < 1 || k > most) throw ValueError("truncated_svd: k = " + std::to_string(k) + " must lie in [1, " + std::to_string(most) + "]");
  int64_t q = std::min(most, k + std::max<int64_t>(o.oversampling, 0));
  Tensor right = qr(first_columns(a, q, o)).q;
  TruncatedSvd found;
  for (bool settled = false; !settled && found.iterations < o.iterations; ++found.iterations) {
    Tensor left = qr(a.times(right)).q;         // A ≈ left leftᵀ A
    Svd small = svd(a.transposed_times(left));  // Aᵀ left = right s turnᵀ
    Tensor u = matmul(left, narrow(mT(small.vh), 1, 0, k));
    settled = q == most || (found.u.defined() && subspace_distance(found.u, u) <= o.tolerance);
    found.u = u;
    found.s = narrow(small.s, 0, 0, k);
    found.v = narrow(small.u, 1, 0, k);
    right = small.u;
    found.multiply_adds += 2 * a.multiply_adds(q) + 2 * m * q * q + 4 * n * q * q + m * q * k;
  }
  return found;
}

}  // namespace plumb::methods::matrix_completion
