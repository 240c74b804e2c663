// Linear algebra against textbook algorithms in f64: elimination, Cholesky's rows, Jacobi's rotations, Gram–Schmidt.
#include <doctest/doctest.h>

#include <array>

#include "ops/create.h"
#include "ops/join.h"
#include "ops/linalg.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::test;

namespace {

using Matrix = std::vector<std::vector<double>>;

Matrix rows_of(const Tensor& x) {
  std::vector<double> v = to_vector(x);
  Matrix m(static_cast<size_t>(x.size(0)), std::vector<double>(static_cast<size_t>(x.size(1))));
  for (size_t i = 0; i < m.size(); ++i)
    for (size_t j = 0; j < m[i].size(); ++j) m[i][j] = v[i * m[i].size() + j];
  return m;
}
Tensor tensor_of(const Matrix& m) {
  std::vector<double> v;
  for (const auto& row : m) v.insert(v.end(), row.begin(), row.end());
  return from_vector(v, {static_cast<int64_t>(m.size()), static_cast<int64_t>(m[0].size())});
}
Matrix product(const Matrix& a, const Matrix& b) {
  Matrix c(a.size(), std::vector<double>(b[0].size()));
  for (size_t i = 0; i < a.size(); ++i)
    for (size_t j = 0; j < b[0].size(); ++j)
      for (size_t k = 0; k < b.size(); ++k) c[i][j] += a[i][k] * b[k][j];
  return c;
}
Matrix turned(const Matrix& a) {
  Matrix t(a[0].size(), std::vector<double>(a.size()));
  for (size_t i = 0; i < a.size(); ++i)
    for (size_t j = 0; j < a[0].size(); ++j) t[j][i] = a[i][j];
  return t;
}

// Gauss–Jordan elimination with the largest pivot: x with a x = b, and the determinant.
struct Elimination {
  Matrix x;
  double determinant = 1;
};
Elimination eliminate(Matrix a, Matrix b) {
  Elimination result;
  size_t n = a.size();
  for (size_t c = 0; c < n; ++c) {
    size_t best = c;
    for (size_t r = c; r < n; ++r)
      if (std::abs(a[r][c]) > std::abs(a[best][c])) best = r;
    if (best != c) result.determinant = -result.determinant;
    std::swap(a[c], a[best]);
    std::swap(b[c], b[best]);
    double pivot = a[c][c];
    result.determinant *= pivot;
    for (double& v : a[c]) v /= pivot;
    for (double& v : b[c]) v /= pivot;
    for (size_t r = 0; r < n; ++r) {
      if (r == c) continue;
      double f = a[r][c];
      for (size_t j = 0; j < n; ++j) a[r][j] -= f * a[c][j];
      for (size_t j = 0; j < b[r].size(); ++j) b[r][j] -= f * b[c][j];
    }
  }
  result.x = std::move(b);
  return result;
}

Matrix cholesky_rows(const Matrix& a) {
  Matrix l(a.size(), std::vector<double>(a.size()));
  for (size_t i = 0; i < a.size(); ++i)
    for (size_t j = 0; j <= i; ++j) {
      double s = a[i][j];
      for (size_t k = 0; k < j; ++k) s -= l[i][k] * l[j][k];
      l[i][j] = i == j ? std::sqrt(s) : s / l[j][j];
    }
  return l;
}

// Eigenvalues, ascending, of a symmetric matrix by cyclic Jacobi rotations.
std::vector<double> jacobi(Matrix a) {
  size_t n = a.size();
  for (int sweep = 0; sweep < 30; ++sweep)
    for (size_t p = 0; p < n; ++p)
      for (size_t q = p + 1; q < n; ++q) {
        if (a[p][q] == 0) continue;
        double theta = 0.5 * std::atan2(2 * a[p][q], a[q][q] - a[p][p]), c = std::cos(theta), s = std::sin(theta);
        for (size_t k = 0; k < n; ++k) {
          double x = a[k][p], y = a[k][q];
          a[k][p] = c * x - s * y;
          a[k][q] = s * x + c * y;
        }
        for (size_t k = 0; k < n; ++k) {
          double x = a[p][k], y = a[q][k];
          a[p][k] = c * x - s * y;
          a[q][k] = s * x + c * y;
        }
      }
  std::vector<double> w;
  for (size_t i = 0; i < n; ++i) w.push_back(a[i][i]);
  std::sort(w.begin(), w.end());
  return w;
}

// The r of a = q r with a positive diagonal, by modified Gram–Schmidt.
Matrix gram_schmidt(const Matrix& a) {
  Matrix columns = turned(a), r(columns.size(), std::vector<double>(columns.size()));
  for (size_t i = 0; i < columns.size(); ++i) {
    double s = 0;
    for (double v : columns[i]) s += v * v;
    r[i][i] = std::sqrt(s);
    for (double& v : columns[i]) v /= r[i][i];
    for (size_t j = i + 1; j < columns.size(); ++j) {
      for (size_t k = 0; k < a.size(); ++k) r[i][j] += columns[i][k] * columns[j][k];
      for (size_t k = 0; k < a.size(); ++k) columns[j][k] -= r[i][j] * columns[i][k];
    }
  }
  return r;
}

double epsilon(DType t) { return t == f64 ? 0x1p-52 : 0x1p-23; }
Matrix unit(size_t n) {
  Matrix m(n, std::vector<double>(n));
  for (size_t i = 0; i < n; ++i) m[i][i] = 1;
  return m;
}

}  // namespace

TEST_CASE("linalg: solve, inv, slogdet, triangular_solve and cholesky give what elimination by hand gives") {
  for (DType t : {f64, f32})
    for (int64_t n : {1, 2, 3, 7, 33}) {
      CAPTURE(n);
      // Condition numbers stay below about 10: errors of a few n ε.
      double limit = 40 * static_cast<double>(n) * epsilon(t);
      Tensor a = sample({n, n}, 1, t, -1, 1) + eye(n, -1, t) * (1.5 * std::sqrt(static_cast<double>(n)) + 1), b = sample({n, 3}, 2, t);
      Matrix m = rows_of(a), r = rows_of(b);
      CHECK(difference(solve(a, b), tensor_of(eliminate(m, r).x)) < limit);
      CHECK(difference(inv(strided(a)), tensor_of(eliminate(m, unit(m.size())).x)) < limit);
      double determinant = eliminate(m, unit(m.size())).determinant;
      for (double turn : {1.0, -1.0}) {
        Tensor swapped = n > 1 && turn < 0 ? cat({slice(a, 0, 1, 2), slice(a, 0, 0, 1), slice(a, 0, 2)}) : a;
        auto [sign, logabs] = slogdet(swapped);
        CHECK(sign.item() == (determinant > 0 ? 1 : -1) * (n > 1 ? turn : 1));
        CHECK(std::abs(logabs.item() - std::log(std::abs(determinant))) < limit * std::max(1.0, std::log(std::abs(determinant))));
      }
      for (bool upper : {false, true})
        for (bool ones_on_diagonal : {false, true}) {
          Matrix triangle = rows_of(a * (ones_on_diagonal ? 0.1 : 1.0));  // what is not read stays there
          Tensor whole = tensor_of(triangle);
          for (size_t i = 0; i < triangle.size(); ++i)
            for (size_t j = 0; j < triangle.size(); ++j)
              if (i == j ? ones_on_diagonal : upper == (i > j)) triangle[i][j] = i == j;
          CHECK(difference(triangular_solve(to(whole, t), b, upper, ones_on_diagonal), tensor_of(eliminate(triangle, r).x)) < limit);
        }
      Matrix definite = product(m, turned(m));
      Tensor spd = to(tensor_of(definite), t);
      CHECK(difference(cholesky(spd), tensor_of(cholesky_rows(rows_of(spd)))) < limit);
      CHECK(difference(cholesky(tril(spd)), tensor_of(cholesky_rows(rows_of(spd)))) < limit);  // the upper triangle is not read
    }
}

TEST_CASE("linalg: eigenvalues, singular values and triangular factors agree with Jacobi's and Gram and Schmidt's") {
  for (DType t : {f64, f32})
    for (auto [m, n] : {std::array<int64_t, 2>{1, 1}, {4, 4}, {9, 5}, {5, 9}, {40, 17}}) {
      Tensor a = sample({m, n}, 3, t, -1, 1);
      double limit = 40 * static_cast<double>(std::max(m, n)) * epsilon(t);
      Matrix rows = m >= n ? rows_of(a) : turned(rows_of(a)), gram = product(turned(rows), rows);
      std::vector<double> squares = jacobi(gram);
      std::vector<double> singular = to_vector(svd(a).s);
      REQUIRE(singular.size() == squares.size());
      for (size_t i = 0; i < squares.size(); ++i)
        CHECK(std::abs(std::pow(singular[squares.size() - 1 - i], 2) - squares[i]) < limit * squares.back());
      Tensor symmetric = to(tensor_of(gram), t);
      std::vector<double> w = to_vector(eigh(tril(symmetric)).values),
                          expected = jacobi(rows_of(symmetric));  // only the lower triangle is read
      for (size_t i = 0; i < w.size(); ++i) CHECK(std::abs(w[i] - expected[i]) < limit * expected.back());
      Tensor r = qr(to(tensor_of(rows), t)).r;
      CHECK(difference(abs(r), abs(tensor_of(gram_schmidt(rows)))) < 10 * limit);
      // Full rank: the pseudo-inverse by normal equations, whose condition is squared.
      Matrix left = eliminate(gram, turned(rows)).x;
      Tensor pseudo = m >= n ? tensor_of(left) : tensor_of(turned(left));
      double condition = squares.back() / squares.front();
      CHECK(difference(pinv(a), pseudo) < limit * condition);
      Tensor b = sample({m, 2}, 4, t);
      CHECK(difference(lstsq(a, b), tensor_of(product(rows_of(pseudo), rows_of(b)))) < limit * condition);
    }
}

TEST_CASE("linalg: one matrix for a batch of right sides, batches of matrices for one right side") {
  for (DType t : {f64, f32}) {
    Tensor a = sample({5, 5}, 5, t, -1, 1) + eye(5, -1, t) * 4, b = sample({2, 3, 5, 4}, 6, t), x = solve(a, b),
           y = triangular_solve(a, strided(b), true);
    CHECK(x.shape() == b.shape());
    for (int64_t i = 0; i < 2; ++i)
      for (int64_t j = 0; j < 3; ++j) {
        Tensor right = select(select(b, 0, i), 0, j);
        CHECK(difference(select(select(x, 0, i), 0, j), tensor_of(eliminate(rows_of(a), rows_of(right)).x)) < 200 * epsilon(t));
        CHECK(difference(select(select(y, 0, i), 0, j), tensor_of(eliminate(rows_of(triu(a)), rows_of(right)).x)) < 200 * epsilon(t));
      }
    Tensor many = stack({a, mT(a)}), vector = sample({5}, 7, t), z = solve(many, vector), w = triangular_solve(many, vector);
    CHECK(z.shape() == Shape{2, 5});
    for (int64_t i = 0; i < 2; ++i) {
      CHECK(difference(unsqueeze(select(z, 0, i), -1),
                       tensor_of(eliminate(rows_of(select(many, 0, i)), rows_of(unsqueeze(vector, -1))).x)) < 200 * epsilon(t));
      CHECK(difference(unsqueeze(select(w, 0, i), -1),
                       tensor_of(eliminate(rows_of(tril(select(many, 0, i))), rows_of(unsqueeze(vector, -1))).x)) < 200 * epsilon(t));
    }
    CHECK(solve(a, zeros({2, 0, 5, 4}, t)).shape() == Shape{2, 0, 5, 4});
    CHECK(solve(a, zeros({3, 5, 0}, t)).shape() == Shape{3, 5, 0});
    CHECK(lstsq(many, vector).shape() == Shape{2, 5});
    CHECK(difference(lstsq(a, b), x) < 400 * epsilon(t));
  }
}

TEST_CASE("linalg: NaN and infinity are refused where a matrix is factored, and pass where they reach elsewhere") {
  for (DType t : {f64, f32})
    for (double bad : {double(NAN), double(INFINITY)})
      for (int64_t n : {2, 3, 50}) {
        Tensor a = stack({eye(n, -1, t), eye(n, -1, t) * 3.0 + 0.5});
        Tensor corner = select(select(select(a, 0, 1), 0, n - 1), 0, 0);
        fill_(corner, bad);
        CHECK_THROWS_WITH_AS(svd(a), "svd: matrix 1 of the batch holds NaN or infinity", ValueError);
        CHECK_THROWS_WITH_AS(qr(a), "qr: matrix 1 of the batch holds NaN or infinity", ValueError);
        CHECK_THROWS_WITH_AS(eigh(a), "eigh: matrix 1 of the batch holds NaN or infinity", ValueError);
        CHECK_THROWS_WITH_AS(pinv(a), "pinv: matrix 1 of the batch holds NaN or infinity", ValueError);
        CHECK_THROWS_WITH_AS(lstsq(a, ones({n}, t)), "lstsq: matrix 1 of the batch holds NaN or infinity", ValueError);
        std::string message = "cholesky: the matrix is not positive definite (leading minor " + std::to_string(n) + " of batch 1)";
        CHECK_THROWS_WITH_AS(cholesky(a), message.c_str(), ValueError);
        Tensor upper = mT(a);  // now where cholesky and eigh do not read
        CHECK(cholesky(upper).shape() == a.shape());
        CHECK(eigh(upper).values.shape() == Shape{2, n});
        std::vector<double> x = to_vector(triangular_solve(a, ones({n}, t)));
        CHECK(!std::isfinite(x.back()));
        CHECK(std::all_of(x.begin(), x.end() - 1, [](double v) { return std::isfinite(v); }));
        if (std::isinf(bad)) continue;
        x = to_vector(solve(a, ones({n}, t)));
        CHECK(std::all_of(x.begin(), x.begin() + n, [](double v) { return v == 1; }));
        CHECK(std::all_of(x.begin() + n, x.end(), [](double v) { return std::isnan(v); }));
        CHECK(std::isnan(to_vector(inv(a)).back()));
        CHECK(std::isnan(to_vector(slogdet(a).logabs)[1]));
        CHECK(std::isnan(to_vector(slogdet(a).sign)[1]));
        CHECK(to_vector(slogdet(a).sign)[0] == 1);
      }
  CHECK(std::isnan(to_vector(lstsq(eye(2), tensor({NAN, 1.0})))[0]));
}

TEST_CASE("linalg: singular matrices") {
  for (DType t : {f64, f32})
    for (int64_t n : {1, 2, 5, 70}) {
      Tensor a = n > 2 ? diag(to(arange(n), t)) : zeros({n, n}, t);  // the first pivot is 0, the others are not
      CHECK_THROWS_WITH_AS(solve(zeros({n, n}, t), ones({n}, t)), "solve: the matrix is singular (pivot 0 of batch 0 is 0)", ValueError);
      CHECK_THROWS_AS(inv(a), ValueError);
      CHECK_THROWS_WITH_AS(triangular_solve(a, ones({n}, t)), "triangular_solve: the matrix is singular (pivot 0 of batch 0 is 0)",
                           ValueError);
      CHECK(slogdet(a).sign.item() == 0);
      CHECK(slogdet(a).logabs.item() == -INFINITY);
      CHECK(difference(pinv(zeros({n, n}, t)), zeros({n, n}, f64)) == 0);
      if (n > 2) {
        std::vector<double> p = to_vector(diagonal(pinv(a)));
        CHECK(p[0] == 0);
        CHECK(p.back() == doctest::Approx(1 / static_cast<double>(n - 1)).epsilon(100 * epsilon(t)));
      }
    }
  Tensor a = tensor({{1.0, 2.0}, {2.0, 4.0}}, f64).requires_grad_();
  CHECK_THROWS_WITH_AS(slogdet(a).logabs.backward(), "slogdet: the matrix is singular (pivot 1 of batch 0 is 0)", ValueError);
  CHECK_THROWS_WITH_AS(cholesky(tensor({{1.0, 2.0}, {2.0, 4.0}}, f64) - eye(2, -1, f64) * 0.5),
                       "cholesky: the matrix is not positive definite (leading minor 2 of batch 0)", ValueError);
  Tensor tall = tensor({{1.0, 2.0}, {2.0, 4.0}, {3.0, 6.0}}, f64);  // c uᵀ with u = (1, 2): the pseudo-inverse is u cᵀ / (|c|² |u|²)
  CHECK(difference(pinv(tall), mT(tall) * (1.0 / 70)) < 1e-15);
  CHECK(difference(pinv(tensor({{4.0, 0.0}, {0.0, 1.0}}, f64), 0.5), tensor({{0.25, 0.0}, {0.0, 0.0}}, f64)) < 1e-15);
  CHECK_THROWS_WITH_AS(pinv(tall, NAN), "pinv: the tolerance is NaN", ValueError);
}
