// Rows of dense linear algebra; matrices are kept well conditioned by a large diagonal.
#include <algorithm>

#include "ops/create.h"
#include "ops/index.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tests/ops/op_table.h"

namespace plumb::testing {
namespace {

Tensor dominant(const Tensor& x) { return x + eye(x.size(-1), -1, x.dtype(), x.device()) * 4; }
Tensor definite(const Tensor& x) { return dominant(matmul(x, mT(x))); }

// Singular values and eigenvalues far from each other and from 0.
Tensor spread(const Tensor& x) {
  Tensor d = zeros({x.size(-2), x.size(-1)}, x.dtype());
  for (int64_t i = 0; i < std::min(x.size(-2), x.size(-1)); ++i)
    d = index_put(d, {tensor({i}), tensor({i})}, scalar_tensor(3.0 + 4.0 * static_cast<double>(i), x.dtype()));
  return x + to(d, x.device());
}
Tensor symmetric(const Tensor& x) { return (x + mT(x)) * 0.5; }
std::vector<Tensor> parts(const Svd& d) { return {d.u, d.s, d.vh}; }
std::vector<Tensor> parts(const Qr& d) { return {d.q, d.r}; }
std::vector<Tensor> parts(const Eigh& d) { return {d.values, d.vectors}; }

OpCase row(const char* name, std::vector<InputSpec> inputs, TensorFunction f) {
  OpCase c{name, std::move(inputs), std::move(f)};
  c.tolerance = 64;
  c.low_precision = false;
  return c;
}

}  // namespace

std::vector<OpCase> linalg_cases() {
  using T = const Tensor&;
  const InputSpec square = within(-1, 1, {2, 3, 3}), right = real({2, 3, 2});
  return {
      row("cholesky", {square}, [](T x) { return cholesky(definite(x)); }),
      row("solve", {square, right}, [](T x, T b) { return solve(dominant(x), b); }),
      row("solve, broadcast", {within(-1, 1, {2, 1, 3, 3}), right}, [](T x, T b) { return solve(dominant(x), b); }),
      row("solve, one matrix for a batch", {within(-1, 1, {3, 3}), real({2, 2, 3, 2})}, [](T x, T b) { return solve(dominant(x), b); }),
      row("solve, a vector", {square, real({3})}, [](T x, T b) { return solve(dominant(x), b); }),
      row("triangular_solve", {square, right}, [](T x, T b) { return triangular_solve(dominant(x), b); }),
      row("triangular_solve upper, unit", {square, right}, [](T x, T b) { return triangular_solve(dominant(x), b, true, true); }),
      row("triangular_solve, one matrix for a batch", {within(-1, 1, {3, 3}), right},
          [](T x, T b) { return triangular_solve(dominant(x), b, true); }),
      row("inv", {square}, [](T x) { return inv(dominant(x)); }),
      row("slogdet", {square}, [](T x) { return slogdet(dominant(x)).logabs; }),
      row("svd", {square}, [](T x) { return parts(svd(spread(x))); }),
      row("svd, tall", {within(-1, 1, {2, 4, 3})}, [](T x) { return parts(svd(spread(x))); }),
      row("svd, wide", {within(-1, 1, {2, 3, 4})}, [](T x) { return parts(svd(spread(x))); }),
      row("svd, values alone", {within(-1, 1, {4, 3})}, [](T x) { return svd(spread(x)).s; }),
      row("svd, one side alone", {within(-1, 1, {4, 3})}, [](T x) { return svd(spread(x)).vh; }),
      row("qr", {square}, [](T x) { return parts(qr(spread(x))); }),
      row("qr, tall", {within(-1, 1, {2, 4, 3})}, [](T x) { return parts(qr(spread(x))); }),
      row("qr, wide", {within(-1, 1, {2, 3, 5})}, [](T x) { return parts(qr(spread(x))); }),
      row("qr, one factor alone", {within(-1, 1, {4, 3})}, [](T x) { return qr(spread(x)).q; }),
      row("eigh", {square}, [](T x) { return parts(eigh(symmetric(spread(x)))); }),
      row("eigh, values alone", {square}, [](T x) { return eigh(symmetric(spread(x))).values; }),
      row("eigh, vectors alone", {square}, [](T x) { return eigh(symmetric(spread(x))).vectors; }),
      row("pinv", {within(-1, 1, {2, 4, 3})}, [](T x) { return pinv(spread(x)); }),
      row("pinv, wide", {within(-1, 1, {3, 4})}, [](T x) { return pinv(spread(x)); }),
      row("pinv, rank 2 of 3", {within(-1, 1, {4, 2}), within(-1, 1, {2, 3})},
          [](T x, T y) { return pinv(matmul(spread(x), spread(y)), 1e-3); }),
      row("lstsq", {within(-1, 1, {4, 3}), real({4, 2})}, [](T x, T b) { return lstsq(spread(x), b); }),
      row("matrix_exp", {square}, [](T x) { return matrix_exp(x); }),
      row("matrix_exp, small", {within(-1e-2, 1e-2, {3, 3})}, [](T x) { return matrix_exp(x); }),
      row("matrix_exp, large", {within(-3, 3, {3, 3})}, [](T x) { return matrix_exp(x); }),
      row("kron", {real({2, 3}), real({3, 2})}, [](T x, T y) { return kron(x, y); }),
      row("kron, a vector and a matrix", {real({3}), real({3, 2})}, [](T x, T y) { return kron(x, y); }),
  };
}

}  // namespace plumb::testing
