// Sinkhorn's iteration on the potentials.
#include "models/cluster/sinkhorn.h"

#include <cmath>
#include <string>

#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::cluster {
namespace {

// The marginal as given, or equal shares; its sum in `total`.
Tensor checked_marginal(const char* which, const Tensor& given, int64_t n, DType dtype, double& total) {
  Tensor shares = given.defined() ? given : full({n}, 1 / static_cast<double>(n), dtype);
  if (shares.rank() != 1 || shares.size(0) != n)
    throw ShapeError(std::string("sinkhorn: ") + which + " must have " + std::to_string(n) + " elements, it is " +
                     to_string(shares.shape()));
  total = 0;
  for (double v : to_vector(shares)) {
    if (!(v > 0)) throw ValueError(std::string("sinkhorn: ") + which + " must be positive, it holds " + decimal(v));
    total += v;
  }
  return to(shares, dtype);
}

double worst_share(const Tensor& plan, const Tensor& a) { return max(abs(sum(plan.detach(), {1}) / a.detach() - 1)).item(); }

}  // namespace

Tensor sinkhorn(const Tensor& cost, const Tensor& a, const Tensor& b, const SinkhornOptions& o) {
  if (cost.rank() != 2 || cost.numel() == 0) throw ShapeError("sinkhorn: takes a matrix of costs, got " + to_string(cost.shape()));
  if (!(o.epsilon > 0) || o.iterations < 1)
    throw ValueError("sinkhorn: epsilon must be positive and iterations at least 1, they are " + decimal(o.epsilon) + " and " +
                     std::to_string(o.iterations));
  double total_a, total_b;
  Tensor rows = checked_marginal("a", a, cost.size(0), cost.dtype(), total_a),
         columns = checked_marginal("b", b, cost.size(1), cost.dtype(), total_b);
  if (std::abs(total_a - total_b) > 1e-4 * total_a)
    throw ValueError("sinkhorn: a and b must have equal sums, they have " + decimal(total_a) + " and " + decimal(total_b));
  Tensor scaled = cost * (-1 / o.epsilon), log_a = log(rows), log_b = log(columns), g = zeros_like(columns), plan;
  for (int64_t i = 0; i < o.iterations; ++i) {  // f and g in units of ε
    Tensor f = log_a - logsumexp(scaled + g, {1});
    g = log_b - logsumexp(scaled + unsqueeze(f, 1), {0});
    bool last = i + 1 == o.iterations;
    if (last || o.tolerance > 0) plan = exp(scaled + unsqueeze(f, 1) + g);
    if (!last && o.tolerance > 0 && worst_share(plan, rows) <= o.tolerance) break;
  }
  return plan;
}

}  // namespace plumb::cluster
