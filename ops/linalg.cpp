// Dense linear algebra: the shapes and derivatives around LAPACK's kernels. Derivatives as in Giles, "Collected matrix derivative
// results for forward and reverse mode algorithmic differentiation", 2008.
#include "ops/linalg.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/autograd/autocast.h"
#include "engine/autograd/record.h"
#include "ops/create.h"
#include "ops/kernels/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb {
namespace {

void check_matrix(const char* op, const Tensor& a) {
  if (a.dtype() != f64 && a.dtype() != f32) unsupported_dtype(op, a.dtype());
  if (a.rank() < 2) throw ShapeError(std::string(op) + ": takes matrices [.., m, n], not " + to_string(a.shape()));
}

void check_square(const char* op, const Tensor& a) {
  check_matrix(op, a);
  if (a.size(-1) != a.size(-2)) throw ShapeError(std::string(op) + ": takes square matrices, not " + to_string(a.shape()));
}

// Factors of NaN and infinity would be partly made up, and the iterations for them need not end.
void check_finite(const char* op, const Tensor& a) {
  if (a.numel() == 0) return;
  std::vector<int64_t> finite = to_vector<int64_t>(all(isfinite(a), {-2, -1}));
  auto bad = std::find(finite.begin(), finite.end(), 0);
  if (bad != finite.end()) throw ValueError(std::string(op) + ": matrix " + std::to_string(bad - finite.begin()) + " of the batch holds NaN or infinity");
}

Shape batch_of(const Tensor& a) { return a.shape().slice(0, a.rank() - 2); }

Shape joined(Shape batch, const Shape& rest) {
  for (int64_t n : rest) batch.push_back(n);
  return batch;
}

// Row-major data of a as [batch, m, n], outside the graph.
Tensor matrices(const Tensor& a) {
  Tensor data = contiguous_data(a);
  Shape shape{numel(batch_of(a)), a.size(-2), a.size(-1)};
  return view_of(data, shape, contiguous_strides(shape), 0);
}

// A new tensor, and the flat view of it that kernels fill.
struct Output {
  Output(const char* op, const Tensor& a, const Shape& rest) : tensor(empty(joined(batch_of(a), rest), a.dtype(), a.device(), op)) {
    Shape shape = joined(Shape{numel(batch_of(a))}, rest);
    flat = view_of(tensor, shape, contiguous_strides(shape), 0);
  }
  Tensor tensor, flat;
};

// Matrices and right sides of one batch shape and one type.
struct System {
  Tensor a, b;
};
System checked_system(const char* op, const Tensor& a, const Tensor& b) {
  if (a.device() != b.device()) throw DeviceError(std::string(op) + ": the matrix and the right side are on different devices");
  if (a.dtype() != b.dtype())
    throw DTypeError(std::string(op) + ": the matrix is " + std::string(name(a.dtype())) + ", the right side " + std::string(name(b.dtype())));
  if (b.rank() < 2 || a.size(-2) != b.size(-2))
    throw ShapeError(std::string(op) + ": the right side " + to_string(b.shape()) + " does not fit the matrix " + to_string(a.shape()));
  Shape batch = broadcast_shapes(op, batch_of(a), batch_of(b));
  return {expand(a, joined(batch, {a.size(-2), a.size(-1)})), expand(b, joined(batch, {b.size(-2), b.size(-1)}))};
}

// Without a derivative: x with a x = b by a kernel that takes right sides as rows.
template <typename Kernel>
Tensor solved(const char* op, const Tensor& b, Kernel&& kernel) {
  Output rows(op, b, {b.size(-1), b.size(-2)});
  if (rows.tensor.numel() > 0) kernel(matrices(mT(b.detach())), rows.flat);
  return contiguous_data(mT(rows.tensor));
}

// The product in the operands' own type, autocast or not.
Tensor product(const Tensor& a, const Tensor& b) {
  Autocast off(f32);
  return matmul(a, b);
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

Svd svd_data(const char* op, const Tensor& a) {
  check_finite(op, a);
  int64_t m = a.size(-2), n = a.size(-1), k = std::min(m, n);
  Output u(op, a, {m, k}), s(op, a, {k}), vh(op, a, {k, n});
  if (a.numel() > 0) kernel::svd(a.device(), matrices(a), u.flat, s.flat, vh.flat);
  return {u.tensor, s.tensor, vh.tensor};
}

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
  if (matrix.rank() == 2 && right.rank() > 2) return as_columns(matrix, right, [](const Tensor& a, const Tensor& b) { return solve(a, b); });
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

Svd svd(const Tensor& a) {
  check_matrix("svd", a);
  auto [u, s, vh] = svd_data("svd", a);
  return {no_derivative("svd", u, {a}), no_derivative("svd", s, {a}), no_derivative("svd", vh, {a})};
}

Qr qr(const Tensor& a) {
  check_matrix("qr", a);
  check_finite("qr", a);
  int64_t m = a.size(-2), n = a.size(-1), k = std::min(m, n);
  Output qt("qr", a, {k, m}), r("qr", a, {k, n});
  if (a.numel() > 0) kernel::qr(a.device(), matrices(mT(a.detach())), qt.flat, r.flat);
  return {no_derivative("qr", contiguous_data(mT(qt.tensor)), {a}), no_derivative("qr", r.tensor, {a})};
}

Eigh eigh(const Tensor& a) {
  check_square("eigh", a);
  check_finite("eigh", tril(a.detach()));
  Output w("eigh", a, {a.size(-1)}), vt("eigh", a, {a.size(-2), a.size(-1)});
  if (a.numel() > 0) kernel::eigh(a.device(), matrices(a), w.flat, vt.flat);
  return {no_derivative("eigh", w.tensor, {a}), no_derivative("eigh", contiguous_data(mT(vt.tensor)), {a})};
}

// V diag(1/s) Uᵀ over the singular values that count.
static Tensor pseudo_inverse(const char* op, const Tensor& a, double tolerance) {
  if (std::isnan(tolerance)) throw ValueError(std::string(op) + ": the tolerance is NaN");
  if (a.numel() == 0) return zeros(joined(batch_of(a), {a.size(-1), a.size(-2)}), a.dtype(), a.device());
  NoGrad off;
  double epsilon = a.dtype() == f64 ? 0x1p-52 : 0x1p-23;
  double relative = tolerance < 0 ? static_cast<double>(std::max(a.size(-1), a.size(-2))) * epsilon : tolerance;
  auto [u, s, vh] = svd_data(op, a);
  Tensor counts = s > amax(s, {-1}, true) * relative;
  Tensor inverse = where(counts, 1.0 / where(counts, s, 1.0), 0.0);
  return product(mT(vh) * unsqueeze(inverse, -2), mT(u));
}

Tensor pinv(const Tensor& a, double tolerance) {
  check_matrix("pinv", a);
  return no_derivative("pinv", pseudo_inverse("pinv", a, tolerance), {a});
}

Tensor lstsq(const Tensor& matrix, const Tensor& right, double tolerance) {
  check_matrix("lstsq", matrix);
  if (right.rank() == 1) return squeeze(lstsq(matrix, unsqueeze(right, -1), tolerance), -1);
  checked_system("lstsq", matrix.detach(), right.detach());
  return no_derivative("lstsq", product(pseudo_inverse("lstsq", matrix.detach(), tolerance), right.detach()), {matrix, right});
}

}  // namespace plumb
