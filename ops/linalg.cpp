// Dense linear algebra: the shapes and derivatives around LAPACK's kernels. Derivatives as in Giles, "Collected matrix derivative
// results for forward and reverse mode algorithmic differentiation", 2008.
#include "ops/linalg.h"

#include "engine/autograd/record.h"
#include "ops/create.h"
#include "ops/kernels/linalg.h"
#include "ops/linalg_call.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb {

using namespace detail::linalg;

namespace {

// Without a derivative: x with a x = b by a kernel that takes right sides as rows.
template <typename Kernel>
Tensor solved(const char* op, const Tensor& b, Kernel&& kernel) {
  Output rows(op, b, {b.size(-1), b.size(-2)});
  if (rows.tensor.numel() > 0) kernel(matrices(mT(b.detach())), rows.flat);
  return contiguous_data(mT(rows.tensor));
}

// f(a, b) for one matrix a and a batch b: the right sides of all of it side by side, so that a is factored once.
template <typename F>
Tensor as_columns(const Tensor& a, const Tensor& b, F&& f) {
  Tensor first = movedim(b, -2, 0);
  Shape shape = first.shape();
  if (shape[0] != a.size(-1)) return f(a, b);  // reports it
  return movedim(reshape(f(a, reshape(first, {shape[0], numel(shape.slice(1, shape.rank()))})), shape), 0, -2);
}

Tensor triangle(const Tensor& a, bool upper, bool unit) { return upper ? triu(a, unit ? 1 : 0) : tril(a, unit ? -1 : 0); }

}  // namespace

// With P = Lᵀ dL, its lower triangle with the diagonal halved:   S = L⁻ᵀ P L⁻¹,   da = (S + Sᵀ) / 2
Tensor cholesky(const Tensor& a) {
  check_square("cholesky", a);
  Output l("cholesky", a, {a.size(-2), a.size(-1)});
  if (a.numel() > 0) kernel::cholesky(a.device(), matrices(a), l.flat);
  return record("cholesky", l.tensor, {a}, saving(l.tensor), [](const Grads& dl, const Saved& saved, Needs) -> Grads {
    Tensor lower = saved[0], both = product(mT(lower), dl[0]);
    Tensor p = (tril(both) + tril(both, -1)) * 0.5;
    Tensor s = triangular_solve(mT(lower), mT(triangular_solve(mT(lower), mT(p), true)), true);
    return {(s + mT(s)) * 0.5};
  });
}

// db = a⁻ᵀ dx,   da = −db xᵀ
Tensor solve(const Tensor& matrix, const Tensor& right) {
  check_square("solve", matrix);
  if (right.rank() == 1) return squeeze(solve(matrix, unsqueeze(right, -1)), -1);
  if (matrix.rank() == 2 && right.rank() > 2)
    return as_columns(matrix, right, [](const Tensor& a, const Tensor& b) { return solve(a, b); });
  auto [a, b] = checked_system("solve", matrix, right);
  Tensor x = solved("solve", b, [&a = a](const Tensor& rows, Tensor& out) { kernel::solve(a.device(), "solve", matrices(a), rows, out); });
  return record("solve", x, {a, b}, saving(a, x), [](const Grads& dx, const Saved& s, Needs needs) -> Grads {
    Tensor db = solve(mT(s[0]), dx[0]);
    return {needs[0] ? -product(db, mT(s[1])) : Tensor(), db};
  });
}

// As solve, da cut to the triangle that is read.
Tensor triangular_solve(const Tensor& matrix, const Tensor& right, bool upper, bool unit) {
  check_square("triangular_solve", matrix);
  if (right.rank() == 1) return squeeze(triangular_solve(matrix, unsqueeze(right, -1), upper, unit), -1);
  if (matrix.rank() == 2 && right.rank() > 2)
    return as_columns(matrix, right, [=](const Tensor& a, const Tensor& b) { return triangular_solve(a, b, upper, unit); });
  auto [a, b] = checked_system("triangular_solve", matrix, right);
  Tensor x = solved("triangular_solve", b, [&, &a = a](const Tensor& rows, Tensor& out) {
    kernel::triangular_solve(a.device(), matrices(a), rows, upper, unit, out);
  });
  return record("triangular_solve", x, {a, b}, saving(a, x), [=](const Grads& dx, const Saved& s, Needs needs) -> Grads {
    Tensor db = triangular_solve(mT(s[0]), dx[0], !upper, unit);
    return {needs[0] ? triangle(-product(db, mT(s[1])), upper, unit) : Tensor(), db};
  });
}

// y = a⁻¹:   da = −yᵀ dy yᵀ
static Tensor inverse(const char* op, const Tensor& a) {
  Tensor identity = expand(eye(a.size(-1), -1, a.dtype(), a.device()), a.shape());
  Tensor y = solved(op, identity, [&](const Tensor& rows, Tensor& out) { kernel::solve(a.device(), op, matrices(a), rows, out); });
  return record("inv", y, {a}, saving(y), [](const Grads& dy, const Saved& s, Needs) -> Grads {
    Tensor t = mT(s[0]);
    return {-product(product(t, dy[0]), t)};
  });
}
Tensor inv(const Tensor& a) {
  check_square("inv", a);
  return inverse("inv", a);
}

// d log |det a| = tr(a⁻¹ da):   da = dlogabs a⁻ᵀ
SignAndLogDet slogdet(const Tensor& a) {
  check_square("slogdet", a);
  Output sign("slogdet", a, {}), logabs("slogdet", a, {});
  if (a.numel() > 0) {
    kernel::slogdet(a.device(), matrices(a), sign.flat, logabs.flat);
  } else {
    fill_(sign.tensor, 1);
    fill_(logabs.tensor, 0);
  }
  Tensor y = record("slogdet", logabs.tensor, {a}, saving(a), [](const Grads& dy, const Saved& s, Needs) -> Grads {
    return {unsqueeze(unsqueeze(dy[0], -1), -1) * mT(inverse("slogdet", s[0]))};
  });
  return {sign.tensor, y};
}

}  // namespace plumb
