// Rows of dense linear algebra; matrices are kept well conditioned by a large diagonal.
#include "ops/create.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tests/ops/op_table.h"

namespace plumb::testing {
namespace {

Tensor dominant(const Tensor& x) { return x + eye(x.size(-1), -1, x.dtype()) * 4; }
Tensor definite(const Tensor& x) { return dominant(matmul(x, mT(x))); }

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
      row("triangular_solve, one matrix for a batch", {within(-1, 1, {3, 3}), right}, [](T x, T b) { return triangular_solve(dominant(x), b, true); }),
      row("inv", {square}, [](T x) { return inv(dominant(x)); }),
      row("slogdet", {square}, [](T x) { return slogdet(dominant(x)).logabs; }),
  };
}

}  // namespace plumb::testing
