// Least squares of one regression, on tensors: checks, and the small solvers behind them.
#include "methods/common/least_squares.h"

#include <cmath>
#include <string>

#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods {
namespace {

void check_system(const char* op, const Tensor& a, const Tensor& b) {
  if (a.rank() != 2 || b.rank() != 1 || a.size(0) != b.size(0) || a.numel() == 0)
    throw ShapeError(std::string(op) + ": takes A [d, k] and b [d], got " + to_string(a.shape()) + " and " + to_string(b.shape()));
}

void check_start(const char* op, const Tensor& a, const Tensor& x0, const Tensor& r) {
  if (x0.rank() != 1 || x0.size(0) != a.size(1))
    throw ShapeError(std::string(op) + ": the start must have " + std::to_string(a.size(1)) + " elements, it is " + to_string(x0.shape()));
  if (r.defined() && r.shape() != Shape{a.size(1), a.size(1)})
    throw ShapeError(std::string(op) + ": the preconditioner must be [" + std::to_string(a.size(1)) + ", " + std::to_string(a.size(1)) +
                     "], it is " + to_string(r.shape()));
}

// f64 copies with their pointers.
struct System {
  std::vector<double> a, b, r, x;
  int64_t rows, columns;
  SmallRegression regression() const { return {a.data(), b.data(), rows, columns}; }
  const double* preconditioner() const { return r.empty() ? nullptr : r.data(); }
  Tensor solution() const { return from_vector(x); }
};

System system_of(const Tensor& a, const Tensor& b, const Tensor& x0, const Tensor& r) {
  return {to_vector(a),
          to_vector(b),
          r.defined() ? to_vector(r) : std::vector<double>{},
          x0.defined() ? to_vector(x0) : std::vector<double>(static_cast<size_t>(a.size(1))),
          a.size(0),
          a.size(1)};
}

}  // namespace

Tensor lsq_exact(const Tensor& a, const Tensor& b, bool minimum_norm) {
  check_system("lsq_exact", a, b);
  System s = system_of(a, b, {}, {});
  if (a.size(0) >= a.size(1) && SmallSolver().exact_qr(s.regression(), s.x.data())) return s.solution();
  if (!minimum_norm)
    throw ValueError("lsq_exact: the columns of A " + to_string(a.shape()) + " are linearly dependent; many x are equally good");
  return lstsq(to(a, f64), to(b, f64));
}

Tensor lsq_cgls(const Tensor& a, const Tensor& b, const Tensor& x0, int64_t steps, const Tensor& r) {
  check_system("lsq_cgls", a, b);
  check_start("lsq_cgls", a, x0, r);
  System s = system_of(a, b, x0, r);
  SmallSolver().cgls(s.regression(), s.x.data(), steps, s.preconditioner());
  return s.solution();
}

Tensor lsq_richardson(const Tensor& a, const Tensor& b, const Tensor& x0, int64_t steps, const Tensor& r, double eta) {
  check_system("lsq_richardson", a, b);
  check_start("lsq_richardson", a, x0, r);
  System s = system_of(a, b, x0, r);
  SmallSolver().richardson(s.regression(), s.x.data(), steps, s.preconditioner(), eta, false);
  return s.solution();
}

double richardson_step(const Tensor& a, const Tensor& r) {
  Tensor wide = to(a, f64), preconditioned = r.defined() ? mT(triangular_solve(mT(to(r, f64)), mT(wide))) : wide;
  std::vector<double> s = to_vector(svd(preconditioned).s);
  return 2 / (s.front() * s.front() + s.back() * s.back());
}

SketchedSystem sketch_preconditioner(const Tensor& sa, const Tensor& sb) {
  check_system("sketch_preconditioner", sa, sb);
  int64_t k = sa.size(1), width = k + 1, work = 0;
  std::vector<double> a = to_vector(sa), b = to_vector(sb), m(static_cast<size_t>(sa.size(0) * width));
  for (int64_t i = 0; i < sa.size(0); ++i) {
    for (int64_t j = 0; j < k; ++j) m[static_cast<size_t>(i * width + j)] = a[static_cast<size_t>(i * k + j)];
    m[static_cast<size_t>(i * width + k)] = b[static_cast<size_t>(i)];
  }
  if (sa.size(0) < k || !detail::householder(m.data(), sa.size(0), width, k, work))
    throw ValueError("sketch_preconditioner: the sketched matrix " + to_string(sa.shape()) + " has lost rank; take more rows");
  Tensor both = from_vector(m, {sa.size(0), width});
  Tensor r = contiguous(triu(narrow(narrow(both, 0, 0, k), 1, 0, k)));
  return {r, triangular_solve(r, select(narrow(both, 0, 0, k), 1, k), true)};
}

}  // namespace plumb::methods
