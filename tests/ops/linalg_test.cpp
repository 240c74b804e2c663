// Linear algebra: the identities that define each result, with products formed by plain loops; batches, strides, zero sizes, errors.
#include "ops/linalg.h"

#include <doctest/doctest.h>

#include <cmath>

#include "ops/create.h"
#include "ops/index.h"
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
          z[static_cast<size_t>((c * m + i) * k + j)] +=
              x[static_cast<size_t>((c * m + i) * n + l)] * y[static_cast<size_t>((c * n + l) * k + j)];
  Shape shape = a.shape();
  shape[shape.rank() - 1] = k;
  return from_vector(z, shape);
}

// a · b, recorded, without the product under test.
Tensor times_in_graph(const Tensor& a, const Tensor& b) { return sum(unsqueeze(a, -1) * unsqueeze(b, -3), {-2}); }

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

TEST_CASE("linalg: vectors of svd and eigh have the sign that makes their first large element positive") {
  for (DType t : {f32, f64}) {
    Tensor a = sample({5, 6, 4}, 3, t, -1, 1);
    auto leading = [](const Tensor& rows) {  // of each row, the first element of at least 0.9 of the largest magnitude
      Tensor magnitude = abs(rows), large = magnitude >= amax(magnitude, {-1}, true) * 0.9;
      return gather(rows, -1, argmax(to(large, u8), -1, true));
    };
    CHECK(min(leading(svd(a).vh)).item() > 0);
    CHECK(min(leading(mT(eigh(to(times(mT(a), a), t)).vectors))).item() > 0);
  }
}

TEST_CASE("linalg: broadcasting, vectors, known determinants and a rank-deficient least squares problem") {
  Tensor a = dominant({4, 4}, f64), b = sample({3, 4, 2}, 7), x = solve(a, b);
  CHECK(difference(times(clone(expand(a, {3, 4, 4})), x), b) < bound(f64, 4));
  CHECK(difference(times(a, unsqueeze(solve(a, select(select(b, 0, 0), -1, 0)), -1)), unsqueeze(select(select(b, 0, 0), -1, 0), -1)) <
        bound(f64, 4));
  auto [sign, logabs] = slogdet(tensor({{{0, 2}, {3, 0}}, {{1, 2}, {2, 4}}}, f64));
  CHECK(to_vector(sign) == std::vector<double>{-1, 0});
  CHECK(to_vector(logabs)[0] == doctest::Approx(std::log(6.0)).epsilon(1e-14));
  CHECK(to_vector(logabs)[1] == -INFINITY);
  CHECK(difference(lstsq(tensor({{1, 1}, {1, 1}}, f64), tensor({1, 3}, f64)), tensor({1, 1}, f64)) < bound(f64, 2));
}

TEST_CASE("linalg: equal singular values and eigenvalues leave gradients finite, and those of the values right") {
  Tensor a = (eye(3, -1, f64) * 2).requires_grad_();
  sum(svd(a).s * tensor({1.0, 2.0, 3.0}, f64)).backward();
  CHECK(difference(sum(a.grad()), scalar_tensor(6.0, f64)) < 1e-14);  // diagonal, in some order
  a.zero_grad();
  Svd d = svd(a);
  sum(square(times_in_graph(d.u * unsqueeze(d.s, -2), d.vh))).backward();  // ‖a‖², whatever the vectors
  CHECK(difference(a.grad(), a.detach() * 2) < 1e-13);
  a.zero_grad();
  Eigh e = eigh(a);
  sum(square(times_in_graph(e.vectors * unsqueeze(e.values, -2), mT(e.vectors)))).backward();
  CHECK(difference(a.grad(), a.detach() * 2) < 1e-13);
  Tensor dependent = tensor({{0.0, 2.0, 0.0}, {0.0, 4.0, 1.0}}, f64).requires_grad_();
  CHECK_THROWS_WITH_AS(sum(qr(dependent).q).backward(), "triangular_solve: the matrix is singular (pivot 0 of batch 0 is 0)", ValueError);
}

TEST_CASE("linalg: the matrix exponential against its series, closed forms and its own square") {
  for (DType t : {f64, f32})
    for (double size : {1e-3, 0.1, 0.5, 1.0, 2.0, 8.0}) {
      CAPTURE(size);
      Tensor a = sample({2, 4, 4}, 3, t, -size, size);
      if (size > 1) a = strided(a);
      Tensor term = clone(expand(eye(4, -1, f64), {2, 4, 4})), series = term;
      for (int k = 1; k < 120; ++k) {
        term = times(term, wide(a)) / k;
        series = series + term;
      }
      double scale = amax(abs(series)).item();
      CHECK(amax(abs(wide(matrix_exp(a)) - series)).item() < 200 * scale * (t == f64 ? 0x1p-52 : 0x1p-23));
    }
  Tensor turn = tensor({{0.0, -2.5}, {2.5, 0.0}}, f64),
         rotation = tensor({{std::cos(2.5), -std::sin(2.5)}, {std::sin(2.5), std::cos(2.5)}}, f64);
  CHECK(difference(matrix_exp(turn), rotation) < 1e-14);
  CHECK(difference(matrix_exp(tensor({{0.0, 1.0}, {0.0, 0.0}}, f64)), tensor({{1.0, 1.0}, {0.0, 1.0}}, f64)) < 1e-15);
  CHECK(difference(matrix_exp(tensor({{-800.0}}, f64)), zeros({1, 1}, f64)) == 0);
  CHECK(difference(matrix_exp(zeros({3, 3})), eye(3)) == 0);
}

TEST_CASE("linalg: the Kronecker product, element by element") {
  Tensor a = sample({2, 3}, 1), b = strided(sample({4, 2}, 2)), y = kron(a, b);
  REQUIRE(y.shape() == Shape{8, 6});
  std::vector<double> va = to_vector(a), vb = to_vector(b), vy = to_vector(y);
  int wrong = 0;
  for (size_t i = 0; i < 8; ++i)
    for (size_t j = 0; j < 6; ++j) wrong += vy[i * 6 + j] != va[i / 4 * 3 + j / 2] * vb[i % 4 * 2 + j % 2];
  CHECK(wrong == 0);
  CHECK(to_vector(kron(tensor({1, 2}), tensor({1, 10, 100}))) == std::vector<double>{1, 10, 100, 2, 20, 200});
  CHECK(kron(zeros({2, 3, 4}), zeros({5, 6})).shape() == Shape{2, 15, 24});
  CHECK(kron(zeros({0, 3}), zeros({5, 6})).shape() == Shape{0, 18});
  CHECK(kron(ones({2, 2}, f32), ones({2, 2}, f64)).dtype() == f64);
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
  CHECK(matrix_exp(none).shape() == Shape{2, 0, 0});
  CHECK(matrix_exp(batchless).shape() == Shape{0, 3, 3});
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
  CHECK_THROWS_WITH_AS(triangular_solve(singular * 0, zeros({2, 1})), "triangular_solve: the matrix is singular (pivot 0 of batch 0 is 0)",
                       ValueError);
  CHECK_THROWS_WITH_AS(cholesky(-eye(3)), "cholesky: the matrix is not positive definite (leading minor 1 of batch 0)", ValueError);
  CHECK_THROWS_WITH_AS(matrix_exp(zeros({2, 3})), "matrix_exp: takes square matrices, not [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(matrix_exp(full({1, 2, 2}, INFINITY)), "matrix_exp: matrix 0 of the batch holds NaN or infinity", ValueError);
  CHECK_THROWS_WITH_AS(kron(zeros({1, 1, 1, 1, 1}), zeros({2})), "kron: takes ranks up to 4, not [1, 1, 1, 1, 1] and [2]", ShapeError);
}
