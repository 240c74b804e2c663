// The baselines, all on products with sparse residuals: no dense m × n matrix is made.
#include "methods/classical/matrix_completion/baselines.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "methods/classical/matrix_completion/truncated_svd.h"
#include "ops/elementary.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods::matrix_completion {
namespace {

int64_t lengths(const ObservedMatrix& o) { return o.rows() + o.columns(); }

struct Path {
  std::vector<double> lambdas;  ///< descending
  std::vector<double> errors;   ///< on held-out entries
  Factors last;
};

// Soft-impute along descending λ, down to the `steps`-th.
Path soft_path(const ObservedMatrix& kept, const ObservedMatrix* held, int64_t steps, int64_t rank, const SoftImputeOptions& o) {
  Path path;
  TruncatedSvd svd = truncated_svd({kept, kept.by_row().value, 1}, rank, {.iterations = 5, .generator = o.generator});
  path.last.multiply_adds = path.last.start_multiply_adds = svd.multiply_adds;
  double lambda = svd.s.data<double>()[0];
  Factors& x = path.last;
  x.u = zeros({kept.rows(), 1}, f64), x.v = zeros({kept.columns(), 1}, f64);
  int64_t iteration = 0;
  for (int64_t step = 0; step < steps; ++step) {
    lambda /= 2;
    for (int64_t i = 0; i < o.iterations; ++i) {
      std::vector<double> missing = residuals(kept, x.u, x.v);
      svd = truncated_svd({kept, missing, 1, x.u, x.v}, rank, {.iterations = 1, .start = svd.v, .generator = o.generator});
      x.multiply_adds += svd.multiply_adds + kept.count() * x.u.size(1);
      x.u = contiguous(svd.u * clamp_min(svd.s - lambda, 0));
      x.v = contiguous(svd.v);
      if (o.watch) o.watch(++iteration, x.u, x.v);
    }
    path.lambdas.push_back(lambda);
    path.errors.push_back(held ? residual_norm(*held, x.u, x.v) : 0);
  }
  return path;
}

}  // namespace

Factors spectral_completion(const ObservedMatrix& observed, int64_t k, Generator* generator) {
  TruncatedSvd svd =
      truncated_svd({observed, observed.by_row().value, 1 / observed.density()}, k, {.tolerance = kRoughStart, .generator = generator});
  return {contiguous(svd.u * svd.s), contiguous(svd.v), svd.multiply_adds, svd.multiply_adds};
}

Factors gradient_descent(const ObservedMatrix& observed, int64_t k, const DescentOptions& o) {
  if (!(o.step > 0) || !(o.balance >= 0))
    throw ValueError("gradient_descent: the step must be positive and the balance not negative, they are " + decimal(o.step) +
                     " and " + decimal(o.balance));
  double p = observed.density();
  TruncatedSvd start = truncated_svd({observed, observed.by_row().value, 1 / p}, k, {.tolerance = kRoughStart, .generator = o.generator});
  Tensor root = sqrt(start.s), u = contiguous(start.u * root), v = contiguous(start.v * root);
  double step = o.step / start.s.data<double>()[0];
  Factors found{u, v, start.multiply_adds, start.multiply_adds};
  for (int64_t i = 1; i <= o.iterations; ++i) {
    std::vector<double> missing = residuals(observed, u, v);
    Tensor du = sparse_multiply(observed.by_row(), missing, v) / p, dv = sparse_multiply(observed.by_column(), missing, u) / p;
    found.multiply_adds += 3 * observed.count() * k + lengths(observed) * k;
    if (o.balance > 0) {
      Tensor off = (matmul(mT(u), u) - matmul(mT(v), v)) * o.balance;
      du = du - matmul(u, off);
      dv = dv + matmul(v, off);
      found.multiply_adds += 2 * lengths(observed) * k * k;
    }
    u = u + du * step;
    v = v + dv * step;
    if (o.watch) o.watch(i, u, v);
  }
  found.u = u;
  found.v = v;
  return found;
}

Factors singular_value_projection(const ObservedMatrix& observed, int64_t k, const ProjectionOptions& o) {
  if (!(o.step > 0)) throw ValueError("singular_value_projection: the step must be positive, it is " + decimal(o.step));
  double scale = o.step / observed.density();
  TruncatedSvd svd = truncated_svd({observed, observed.by_row().value, scale}, k, {.tolerance = kRoughStart, .generator = o.generator});
  Factors x{contiguous(svd.u * svd.s), contiguous(svd.v), svd.multiply_adds, svd.multiply_adds};
  for (int64_t i = 2; i <= o.iterations; ++i) {  // the first gave Π_k of the entries alone
    std::vector<double> missing = residuals(observed, x.u, x.v);
    svd =
        truncated_svd({observed, missing, scale, x.u, x.v}, k, {.iterations = 2, .tolerance = 0, .start = svd.v, .generator = o.generator});
    x.multiply_adds += svd.multiply_adds + observed.count() * k;
    x.u = contiguous(svd.u * svd.s);
    x.v = contiguous(svd.v);
    if (o.watch) o.watch(i, x.u, x.v);
  }
  return x;
}

Factors soft_impute(const SparseObservations& observed, int64_t k, const SoftImputeOptions& o) {
  if (o.iterations < 1 || o.thresholds < 1)
    throw ValueError("soft_impute: iterations and thresholds must be at least 1, they are " + std::to_string(o.iterations) + " and " +
                     std::to_string(o.thresholds));
  ObservedMatrix all(observed);
  int64_t rank = std::min({o.most_rank > 0 ? o.most_rank : 3 * k, all.rows(), all.columns()}), steps = o.thresholds, spent = 0;
  if (o.held_out > 0) {
    auto [kept, held] = hold_out(observed, o.held_out, o.generator ? *o.generator : default_generator());
    SoftImputeOptions quiet = o;
    quiet.watch = {};
    ObservedMatrix unseen(held);
    Path tried = soft_path(ObservedMatrix(kept), &unseen, o.thresholds, rank, quiet);
    steps = 1 + (std::min_element(tried.errors.begin(), tried.errors.end()) - tried.errors.begin());
    spent = tried.last.multiply_adds;
  }
  Factors found = soft_path(all, nullptr, steps, rank, o).last;
  found.multiply_adds += spent;
  found.start_multiply_adds += spent;
  return found;
}

}  // namespace plumb::methods::matrix_completion
