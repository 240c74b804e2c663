// Linear algebra: the identities that define each result, with products formed by plain loops; batches, strides, zero sizes, errors.
#include "ops/linalg.h"

#include <doctest/doctest.h>

#include "ops/create.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::test;

namespace {

// a · b over the last two dimensions in f64, batch by batch.
Tensor times(const Tensor& a, const Tensor& b) {
  int64_t m = a.size(-2), n = a.size(-1), k = b.size(-1), count = a.numel() / std::max<int64_t>(1, m * n);
  std::vector<double> x = to_vector(a), y = to_vector(b), z(static_cast<size_t>(count * m * k));
  for (int64_t c = 0; c < count; ++c)
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < k; ++j)
        for (int64_t l = 0; l < n; ++l)
          z[static_cast<size_t>((c * m + i) * k + j)] += x[static_cast<size_t>((c * m + i) * n + l)] * y[static_cast<size_t>((c * n + l) * k + j)];
  Shape shape = a.shape();
  shape[shape.rank() - 1] = k;
  return from_vector(z, shape);
}

Tensor wide(const Tensor& x) { return to(x.detach(), f64); }
Tensor identity(const Tensor& like, int64_t n) {
  Shape shape = like.shape();
  shape[shape.rank() - 1] = shape[shape.rank() - 2] = n;
  return clone(expand(eye(n, -1, f64), shape));
}
// Rounding errors of order n² ε, for matrices with elements and condition numbers of order 10.
double bound(DType t, int64_t n) { return 100.0 * static_cast<double>(n * n) * (t == f64 ? 0x1p-52 : 0x1p-23); }
Tensor dominant(const Shape& shape, DType t) { return sample(shape, 3, t, -1, 1) + eye(shape.back(), -1, t) * 6; }

}  // namespace

TEST_CASE("linalg: factors and solutions satisfy their equations for batches, strides and both types") {
  for (DType t : {f64, f32})
    for (bool is_strided : {false, true}) {
      const double limit = bound(t, 7);
      Tensor a = dominant({2, 3, 7, 7}, t), b = sample({2, 3, 7, 2}, 4, t);
      Tensor spd = a + transpose(a, -1, -2);
      if (is_strided) {
        a = strided(a);
        b = strided(b);
        spd = strided(spd);
      }
      Tensor l = wide(cholesky(spd));
      CHECK(difference(times(l, transpose(l, -1, -2)), wide(spd)) < limit);
      CHECK(difference(l, tril(l)) == 0);
      CHECK(difference(times(wide(a), wide(solve(a, b))), wide(b)) < limit);
      CHECK(difference(times(wide(a), wide(inv(a))), identity(a, 7)) < limit);
      for (bool upper : {false, true})
        for (bool unit : {false, true}) {
          Tensor triangle = upper ? triu(a, unit) : tril(a, -int(unit));
          Tensor read = wide(triangle) + (unit ? eye(7, -1, f64) : zeros({7, 7}, f64));
          Tensor x = wide(triangular_solve(a * (unit ? 0.1 : 1.0), b, upper, unit));
          if (unit) read = wide(triangle) * 0.1 + eye(7, -1, f64);
          CHECK(difference(times(read, x), wide(b)) < limit);
        }
      auto [w, v] = eigh(spd);
      Tensor vectors = wide(v);
      CHECK(difference(times(wide(spd), vectors), vectors * unsqueeze(wide(w), -2)) < limit);
      CHECK(difference(times(transpose(vectors, -1, -2), vectors), identity(a, 7)) < limit);
      auto [sign, logabs] = slogdet(spd);
      CHECK(difference(wide(sign), ones({2, 3}, f64)) == 0);
      CHECK(difference(wide(logabs), sum(log(wide(w)), {-1})) < limit);
    }
}

TEST_CASE("linalg: svd, qr, pinv and lstsq of tall and wide matrices") {
  for (DType t : {f64, f32})
    for (Shape shape : {Shape{2, 5, 3}, Shape{2, 3, 5}, Shape{4, 4}, Shape{1, 6}}) {
      const double limit = bound(t, 6);
      Tensor a = strided(sample(shape, 5, t));
      int64_t k = std::min(a.size(-1), a.size(-2));
      auto [u, s, vh] = svd(a);
      Tensor left = wide(u), right = wide(vh), scale = wide(s);
      CHECK(difference(times(left * unsqueeze(scale, -2), right), wide(a)) < limit);
      CHECK(difference(times(transpose(left, -1, -2), left), identity(a, k)) < limit);
      CHECK(difference(times(right, transpose(right, -1, -2)), identity(a, k)) < limit);
      for (int64_t i = 1; i < k; ++i) CHECK(amin(select(scale, -1, i - 1) - select(scale, -1, i)).item() >= 0);
      auto [q, r] = qr(a);
      CHECK(difference(times(wide(q), wide(r)), wide(a)) < limit);
      CHECK(difference(times(transpose(wide(q), -1, -2), wide(q)), identity(a, k)) < limit);
      CHECK(difference(wide(r), triu(wide(r))) == 0);
      Tensor p = wide(pinv(a));
      CHECK(difference(times(times(wide(a), p), wide(a)), wide(a)) < 10 * limit);
      Tensor projector = times(p, wide(a));
      CHECK(difference(projector, transpose(projector, -1, -2)) < 10 * limit);
      Shape target = a.shape();
      target[target.rank() - 1] = 2;
      Tensor b = sample(target, 6, t), x = wide(lstsq(a, b));
      Tensor residual = times(wide(a), x) - wide(b);  // orthogonal to a's columns
      CHECK(amax(abs(times(transpose(wide(a), -1, -2), residual))).item() < 10 * limit);
    }
}

TEST_CASE("linalg: broadcasting, vectors, known determinants and a rank-deficient least squares problem") {
  Tensor a = dominant({4, 4}, f64), b = sample({3, 4, 2}, 7), x = solve(a, b);
  CHECK(difference(times(clone(expand(a, {3, 4, 4})), x), b) < bound(f64, 4));
  CHECK(difference(times(a, unsqueeze(solve(a, select(select(b, 0, 0), -1, 0)), -1)), unsqueeze(select(select(b, 0, 0), -1, 0), -1)) < bound(f64, 4));
  auto [sign, logabs] = slogdet(tensor({{{0, 2}, {3, 0}}, {{1, 2}, {2, 4}}}, f64));
  CHECK(to_vector(sign) == std::vector<double>{-1, 0});
  CHECK(to_vector(logabs)[0] == doctest::Approx(std::log(6.0)).epsilon(1e-14));
  CHECK(to_vector(logabs)[1] == -INFINITY);
  CHECK(difference(lstsq(tensor({{1, 1}, {1, 1}}, f64), tensor({1, 3}, f64)), tensor({1, 1}, f64)) < bound(f64, 2));
}

TEST_CASE("linalg: zero sizes") {
  Tensor none = zeros({2, 0, 0}, f64), batchless = zeros({0, 3, 3}, f64);
  CHECK(cholesky(none).shape() == Shape{2, 0, 0});
  CHECK(inv(batchless).shape() == Shape{0, 3, 3});
  CHECK(solve(batchless, zeros({3, 2}, f64)).shape() == Shape{0, 3, 2});
  CHECK(to_vector(slogdet(none).sign) == std::vector<double>{1, 1});
  CHECK(to_vector(slogdet(none).logabs) == std::vector<double>{0, 0});
  CHECK(svd(zeros({3, 0}, f64)).vh.shape() == Shape{0, 0});
  CHECK(qr(zeros({0, 3}, f64)).r.shape() == Shape{0, 3});
  CHECK(eigh(none).values.shape() == Shape{2, 0});
  CHECK(pinv(zeros({3, 0}, f64)).shape() == Shape{0, 3});
}

TEST_CASE("linalg: errors name the operation and the values") {
  CHECK_THROWS_WITH_AS(inv(zeros({2, 3})), "inv: takes square matrices, not [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(svd(zeros({3})), "svd: takes matrices [.., m, n], not [3]", ShapeError);
  CHECK_THROWS_AS(inv(zeros({2, 2}, bf16)), DTypeError);
  CHECK_THROWS_WITH_AS(solve(eye(3), zeros({2, 1})), "solve: the right side [2, 1] does not fit the matrix [3, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(solve(eye(2), zeros({2, 1}, f64)), "solve: the matrix is f32, the right side f64", DTypeError);
  Tensor singular = tensor({{{1, 0}, {0, 1}}, {{1, 2}, {2, 4}}}, f32);
  CHECK_THROWS_WITH_AS(solve(singular, zeros({2, 1})), "solve: the matrix is singular (pivot 1 of batch 1 is 0)", ValueError);
  CHECK_THROWS_WITH_AS(inv(singular), "inv: the matrix is singular (pivot 1 of batch 1 is 0)", ValueError);
  CHECK_THROWS_WITH_AS(triangular_solve(singular * 0, zeros({2, 1})), "triangular_solve: the matrix is singular (pivot 0 of batch 0 is 0)", ValueError);
  CHECK_THROWS_WITH_AS(cholesky(-eye(3)), "cholesky: the matrix is not positive definite (leading minor 1 of batch 0)", ValueError);
  Tensor x = eye(2).requires_grad_();
  CHECK_THROWS_AS(sum(svd(x).s).backward(), AutogradError);
}
