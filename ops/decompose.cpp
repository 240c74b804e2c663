// Decompositions, and what is made of them: LAPACK's results with derivatives. For the mathematics see Giles 2008 ("Collected matrix
// derivative results"), Townsend 2016 ("Differentiating the singular value decomposition"), Seeger et al. 2017 ("Auto-differentiating
// linear algebra"). Derivatives are written in operations on the outputs, which are saved, so they can be differentiated again.
#include <algorithm>
#include <cmath>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "engine/autograd/record.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/kernels/linalg.h"
#include "ops/linalg.h"
#include "ops/linalg_call.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb {

using namespace detail::linalg;

namespace {

Svd svd_data(const char* op, const Tensor& a) {
  check_finite(op, a);
  int64_t m = a.size(-2), n = a.size(-1), k = std::min(m, n);
  Output u(op, a, {m, k}), s(op, a, {k}), vh(op, a, {k, n});
  if (a.numel() > 0) kernel::svd(a.device(), matrices(a), u.flat, s.flat, vh.flat);
  return {u.tensor, s.tensor, vh.tensor};
}

// Factorisations leave open which of v and −v a vector is, and libraries differ: here the first element of nearly the largest magnitude is
// positive. (Nearly: so that rounding does not choose between equal ones.) Returns the factors ±1 of vectors that are rows, [.., k, 1].
Tensor signs_of_rows(const Tensor& rows) {
  NoGrad off;
  Tensor magnitude = abs(rows), leading = argmax(to(magnitude >= amax(magnitude, {-1}, true) * 0.9, u8), -1, true);
  return 1.0 - 2.0 * to(gather(rows, -1, leading) < 0, rows.dtype());
}

Tensor antisymmetric(const Tensor& x) { return x - mT(x); }

// 1 / (w_j − w_i), and 0 where the two are equal: directions that turn equal values into each other are no part of a gradient.
Tensor inverse_gaps(const Tensor& w) {
  Tensor gaps = unsqueeze(w, -2) - unsqueeze(w, -1), equal = gaps == 0;
  return where(equal, 0.0, 1.0 / where(equal, 1.0, gaps));
}

// X with X Rᵀ = b, R upper triangular.
Tensor over_transposed(const Tensor& b, const Tensor& r) { return mT(triangular_solve(r, mT(b), true)); }

// With a = u diag(s) vh, v = vhᵀ, and F_ij = 1 / (s_j² − s_i²):
//   da = u [ (F ∘ (uᵀdu − duᵀu)) diag(s) + diag(s) (F ∘ (vᵀdv − dvᵀv)) + diag(ds) ] vᵀ
//        + (1 − u uᵀ) du diag(1/s) vᵀ   for tall a     + u diag(1/s) dvᵀ (1 − v vᵀ)   for wide a
Tensor svd_gradient(const Tensor& u, const Tensor& s, const Tensor& vh, const Grads& dy) {
  const Tensor &du = dy[0], &ds = dy[1], &dvh = dy[2];
  Tensor row = unsqueeze(s, -2), column = unsqueeze(s, -1), v = mT(vh);
  Tensor middle = ds.defined() ? diag_embed(ds) : zeros(joined(batch_of(u), {s.size(-1), s.size(-1)}), s.dtype(), s.device());
  Tensor inverse = du.defined() || dvh.defined() ? inverse_gaps(s * s) : Tensor(), da;
  if (du.defined()) middle = middle + inverse * antisymmetric(product(mT(u), du)) * row;
  if (dvh.defined()) middle = middle + column * (inverse * antisymmetric(product(vh, mT(dvh))));
  da = product(product(u, middle), vh);
  if (du.defined() && u.size(-2) > u.size(-1)) {
    Tensor outside = du - product(u, product(mT(u), du));
    da = da + product(outside / row, vh);
  }
  if (dvh.defined() && vh.size(-1) > vh.size(-2)) {
    Tensor outside = dvh - product(product(dvh, v), vh);
    da = da + product(u, outside / column);
  }
  return da;
}

// a = q r, tall or square:   da = (dq + q L) r⁻ᵀ, L symmetric with the lower triangle of M = r drᵀ − dqᵀ q
Tensor tall_qr_gradient(const Tensor& q, const Tensor& r, const Tensor& dq, const Tensor& dr) {
  Tensor m = product(r, mT(dr)) - product(mT(dq), q), lower = tril(m, -1);
  return over_transposed(dq + product(q, lower + mT(tril(m))), r);
}

// wide: a = [x y] with x = q u square and y = q v: y's part is dy = q dv, and dq gets y dvᵀ from it.
Tensor qr_gradient(const Tensor& q, const Tensor& r, const Grads& dy) {
  Tensor dq = dy[0].defined() ? dy[0] : zeros_like(q), dr = dy[1].defined() ? dy[1] : zeros_like(r);
  int64_t k = q.size(-1), n = r.size(-1);
  if (q.size(-2) >= n) return tall_qr_gradient(q, r, dq, dr);
  Tensor u = narrow(r, -1, 0, k), v = narrow(r, -1, k, n - k), du = narrow(dr, -1, 0, k), dv = narrow(dr, -1, k, n - k);
  Tensor from_y = product(product(q, v), mT(dv));
  return cat({tall_qr_gradient(q, u, dq + from_y, du), product(q, dv)}, -1);
}

}  // namespace

Svd svd(const Tensor& a) {
  check_matrix("svd", a);
  auto [u, s, vh] = svd_data("svd", a);
  if (a.numel() > 0) {
    Tensor signs = signs_of_rows(vh);
    mul_(vh, signs);
    mul_(u, mT(signs));
  }
  auto y = record("svd", std::array<Tensor, 3>{u, s, vh}, {a}, saving(u, s, vh),
                  [](const Grads& dy, const Saved& saved, Needs) -> Grads { return {svd_gradient(saved[0], saved[1], saved[2], dy)}; });
  return {y[0], y[1], y[2]};
}

Qr qr(const Tensor& a) {
  check_matrix("qr", a);
  check_finite("qr", a);
  int64_t m = a.size(-2), n = a.size(-1), k = std::min(m, n);
  Output qt("qr", a, {k, m}), r("qr", a, {k, n});
  if (a.numel() > 0) kernel::qr(a.device(), matrices(mT(a.detach())), qt.flat, r.flat);
  Tensor q = contiguous_data(mT(qt.tensor));
  auto y = record("qr", std::array<Tensor, 2>{q, r.tensor}, {a}, saving(q, r.tensor),
                  [](const Grads& dy, const Saved& saved, Needs) -> Grads { return {qr_gradient(saved[0], saved[1], dy)}; });
  return {y[0], y[1]};
}

// a = V diag(w) Vᵀ, F_ij = 1 / (w_j − w_i):   S = V (diag(dw) + F ∘ VᵀdV) Vᵀ,   da = (S + Sᵀ) / 2
Eigh eigh(const Tensor& a) {
  check_square("eigh", a);
  check_finite("eigh", tril(a.detach()));
  Output w("eigh", a, {a.size(-1)}), vt("eigh", a, {a.size(-2), a.size(-1)});
  if (a.numel() > 0) kernel::eigh(a.device(), matrices(a), w.flat, vt.flat);
  if (a.numel() > 0) mul_(vt.tensor, signs_of_rows(vt.tensor));
  Tensor v = contiguous_data(mT(vt.tensor));
  auto y =
      record("eigh", std::array<Tensor, 2>{w.tensor, v}, {a}, saving(w.tensor, v), [](const Grads& dy, const Saved& saved, Needs) -> Grads {
        Tensor w = saved[0], v = saved[1], middle;
        if (dy[0].defined()) middle = diag_embed(dy[0]);
        if (dy[1].defined()) {
          Tensor turn = inverse_gaps(w) * product(mT(v), dy[1]);
          middle = middle.defined() ? middle + turn : turn;
        }
        Tensor s = product(product(v, middle), mT(v));
        return {(s + mT(s)) * 0.5};
      });
  return {y[0], y[1]};
}

// p = V diag(1/s) Uᵀ over the singular values that count. Where their number stays as it is (Golub & Pereyra 1973):
//   da = −pᵀ dp pᵀ + (1 − a p) dpᵀ p pᵀ + pᵀ p dpᵀ (1 − p a)
static Tensor pseudo_inverse(const char* op, const Tensor& a, double tolerance) {
  if (std::isnan(tolerance)) throw ValueError(std::string(op) + ": the tolerance is NaN");
  if (a.numel() == 0) return zeros(joined(batch_of(a), {a.size(-1), a.size(-2)}), a.dtype(), a.device());
  double epsilon = a.dtype() == f64 ? 0x1p-52 : 0x1p-23;
  double relative = tolerance < 0 ? static_cast<double>(std::max(a.size(-1), a.size(-2))) * epsilon : tolerance;
  auto [u, s, vh] = svd_data(op, a);
  Tensor counts = s > amax(s, {-1}, true) * relative;
  Tensor inverse = where(counts, 1.0 / where(counts, s, 1.0), 0.0);
  Tensor p = product(mT(vh) * unsqueeze(inverse, -2), mT(u));
  return record("pinv", p, {a}, saving(a, p), [](const Grads& dy, const Saved& saved, Needs) -> Grads {
    Tensor a = saved[0], p = saved[1], pt = mT(p), dpt = mT(dy[0]);
    Tensor left = product(dpt, product(p, pt)), right = product(product(pt, p), dpt);
    return {-product(product(pt, dy[0]), pt) + left - product(a, product(p, left)) + right - product(product(right, p), a)};
  });
}

Tensor pinv(const Tensor& a, double tolerance) {
  check_matrix("pinv", a);
  return pseudo_inverse("pinv", a, tolerance);
}

Tensor lstsq(const Tensor& matrix, const Tensor& right, double tolerance) {
  check_matrix("lstsq", matrix);
  if (right.rank() == 1) return squeeze(lstsq(matrix, unsqueeze(right, -1), tolerance), -1);
  checked_system("lstsq", matrix.detach(), right.detach());
  return product(pseudo_inverse("lstsq", matrix, tolerance), right);
}

}  // namespace plumb
