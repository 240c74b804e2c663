// The ratio of singular values, and its derivative by first-order perturbation.
#include "methods/common/singular_values.h"

#include <string>

#include "engine/autograd/record.h"
#include "ops/create.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods {
namespace {

constexpr double kTiny = 1e-10;

Tensor ratio_of(const Tensor& s, int64_t k) { return sum(slice(s, 0, 0, k)) / (sum(s) + kTiny); }

// U diag((1[i ≤ k] − R) / Σ σ) Vᵀ
Tensor slope(const Svd& f, int64_t k) {
  Tensor leading = to(arange(f.s.numel(), i64, f.s.device()) < k, f.s.dtype());
  Tensor total = sum(f.s) + kTiny;
  Tensor rate = (leading - ratio_of(f.s, k)) / total;
  return matmul(f.u * where(total > 2 * kTiny, rate, zeros_like(f.s)), f.vh);
}

}  // namespace

Tensor svd_ratio(const Tensor& a, int64_t k) {
  if (a.rank() != 2) throw ShapeError("svd_ratio: takes a matrix, got " + to_string(a.shape()));
  if (k < 1) throw ValueError("svd_ratio: k must be at least 1, it is " + std::to_string(k));
  Tensor matrix = a.dtype() == f64 ? a : to(a, f32);
  Svd f = svd(matrix.detach());
  return record("svd_ratio", ratio_of(f.s, k), {matrix}, saving(matrix, f.u, f.s, f.vh),
                [k](const Grads& dy, const Saved& saved, Needs) -> Grads {
                  Svd again = grad_enabled() ? svd(saved[0]) : Svd{saved[1], saved[2], saved[3]};
                  return {slope(again, k) * dy[0]};
                });
}

}  // namespace plumb::methods
