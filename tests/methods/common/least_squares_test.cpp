// Least squares: worked numbers, agreement of all solvers, sketches, convergence and divergence, bad input.
#include "methods/common/least_squares.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "ops/create.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

Tensor line_a() { return tensor({{1.0, 0.0}, {1.0, 1.0}, {1.0, 2.0}, {1.0, 3.0}, {0.0, 1.0}}, f64); }
Tensor line_b() { return tensor({1.0, 2.0, 2.0, 4.0, 0.5}, f64); }
Tensor worked_sketch() { return tensor({{1.0, 0.0, 1.0, 0.0, 0.0}, {0.0, -1.0, 0.0, 0.0, 1.0}, {0.0, 0.0, 0.0, 1.0, 0.0}}, f64); }

void check_near(const Tensor& x, const std::vector<double>& expected, double tolerance) {
  std::vector<double> v = to_vector(x);
  REQUIRE(v.size() == expected.size());
  for (size_t i = 0; i < v.size(); ++i) CHECK(v[i] == doctest::Approx(expected[i]).epsilon(tolerance));
}

}  // namespace

TEST_CASE("least squares: exact and two steps of CGLS, worked out independently") {
  Tensor x = lsq_exact(line_a(), line_b());
  check_near(x, {1, 0.833333}, 1e-6);
  CHECK(std::sqrt(sum(square(matmul(line_a(), x) - line_b())).item()) == doctest::Approx(0.912871).epsilon(1e-6));
  Tensor zero = zeros({2}, f64);
  check_near(lsq_cgls(line_a(), line_b(), zero, 1), {0.510914, 1.050213}, 1e-6);
  CHECK(test::difference(lsq_cgls(line_a(), line_b(), zero, 2), x) < 1e-14);
  CHECK(test::difference(lsq_cgls(line_a(), line_b(), x, 50), x) < 1e-14);  // from the solution it stays there
}

TEST_CASE("least squares: sketch, preconditioner and Richardson, worked out independently") {
  Tensor s = worked_sketch(), sa = matmul(s, line_a()), sb = matmul(s, line_b());
  CHECK(test::difference(sa, tensor({{2.0, 2.0}, {-1.0, 0.0}, {1.0, 3.0}}, f64)) == 0);
  CHECK(test::difference(sb, tensor({3.0, -1.5, 4.0}, f64)) == 0);
  auto [r, x0] = sketch_preconditioner(sa, sb);
  check_near(abs(r), {2.449490, 2.857738, 0, 2.198484}, 1e-6);
  check_near(x0, {0.810345, 0.948276}, 1e-6);
  Tensor preconditioned = mT(triangular_solve(mT(r), mT(line_a())));
  check_near(svd(preconditioned).s, {1.189633, 0.764704}, 1e-6);
  CHECK(richardson_step(line_a(), r) == doctest::Approx(2 / (1.189633 * 1.189633 + 0.764704 * 0.764704)).epsilon(1e-5));
  check_near(lsq_richardson(line_a(), line_b(), x0, 1, r, 0.5), {0.896552, 0.879310}, 1e-6);
  check_near(lsq_richardson(line_a(), line_b(), x0, 2, r, 0.5), {0.935791, 0.855529}, 1e-6);
}

TEST_CASE("CGLS: k steps are exact, whatever the preconditioner") {
  Tensor a = test::sample({30, 6}, 1), b = test::sample({30}, 2), zero = zeros({6}, f64), x = lsq_exact(a, b);
  CHECK(test::difference(x, lstsq(a, b)) < 1e-12);
  CHECK(test::difference(lsq_cgls(a, b, zero, 6), x) < 1e-10);
  CHECK(test::difference(lsq_cgls(a, b, test::sample({6}, 3), 6), x) < 1e-10);
  Tensor r = contiguous(triu(test::sample({6, 6}, 4, f64, 0.5, 1.5)));
  CHECK(test::difference(lsq_cgls(a, b, zero, 12, r), x) < 1e-8);
  CHECK(test::difference(lsq_cgls(a, b, zero, 1, qr(a).r), x) < 1e-12);  // the perfect one needs a single step
}

TEST_CASE("Richardson: converges if and only if η s² < 2; CGLS does not mind a bad sketch") {
  Tensor a = test::sample({40, 3}, 5), b = test::sample({40}, 6), zero = zeros({3}, f64), x = lsq_exact(a, b);
  Tensor bad = qr(narrow(a, 0, 0, 3)).r;  // three rows stand for forty: singular values of A R⁻¹ far above 1
  double largest = svd(mT(triangular_solve(mT(bad), mT(a)))).s.data<double>()[0];
  REQUIRE(largest * largest > 2);
  CHECK(test::difference(lsq_richardson(a, b, zero, 200, bad, 1), x) > 1e6);
  CHECK(test::difference(lsq_cgls(a, b, zero, 6, bad), x) < 1e-9);
  double eta = richardson_step(a, bad);
  CHECK(eta * largest * largest < 2);
  CHECK(test::difference(lsq_richardson(a, b, zero, 4000, bad, eta), x) < 1e-6);
  CHECK(test::difference(lsq_richardson(a, b, zero, 200, bad, 2.05 / (largest * largest)), x) > 1);
}

TEST_CASE("small solver: Cholesky, QR and CGLS agree; what is checked never gets worse") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Tensor a = test::sample({25, 4}, seed), b = test::sample({25}, seed + 50);
    std::vector<double> va = to_vector(a), vb = to_vector(b), x(4), y(4), z(4), r(16), w(4);
    SmallRegression p{va.data(), vb.data(), 25, 4};
    SmallSolver solver;
    REQUIRE(solver.exact(p, x.data()));
    REQUIRE(solver.exact_qr(p, y.data()));
    CHECK(solver.cgls(p, z.data(), 4) == 4);
    for (size_t i = 0; i < 4; ++i) {
      CHECK(x[i] == doctest::Approx(y[i]).epsilon(1e-12));
      CHECK(z[i] == doctest::Approx(y[i]).epsilon(1e-10));
    }
    Generator g(seed);
    REQUIRE(solver.sketch(p, 8, g, r.data(), w.data()));
    auto loss = [&](const std::vector<double>& v) { return sum(square(matmul(a, from_vector(v)) - b)).item(); };
    double before = loss(w);
    CHECK(before >= loss(x));
    solver.richardson(p, w.data(), 60, r.data(), 1.9, true);
    CHECK(loss(w) <= before);
    CHECK(loss(w) == doctest::Approx(loss(x)).epsilon(1e-2));
  }
}

TEST_CASE("small solver: counts what it does") {
  std::vector<double> a(100 * 5), b(100), x(5);
  Generator g(1);
  for (double& v : a) v = g.next_double();
  for (double& v : b) v = g.next_double();
  SmallRegression p{a.data(), b.data(), 100, 5};
  SmallSolver exact, two;
  exact.exact(p, x.data());
  CHECK(exact.multiply_adds == 100 * (15 + 5) + 5 * 6 * 7 / 6 + 30);
  two.cgls(p, std::vector<double>(5).data(), 2);  // b − A x and Aᵀ r, then A q, Aᵀ r, A q: the last gradient is not needed
  CHECK(two.multiply_adds == 5 * 100 * 5 + 5 * 100 + 5 * 5);
  std::vector<double> zero(100);
  CHECK(SmallSolver().cgls({a.data(), zero.data(), 100, 5}, std::vector<double>(5).data(), 3) == 0);  // a gradient of 0
}

TEST_CASE("sketches: their matrices, lengths within a subspace, the transform") {
  Generator g(7);
  CountSketch count(20, 100, g);
  Tensor a = test::sample({100, 3}, 8), c = count.matrix();
  CHECK(test::difference(count(a), matmul(c, a)) < 1e-12);
  CHECK(sum(abs(c)).item() == 100);
  CHECK(max(abs(sum(abs(c), {0}) - 1)).item() == 0);
  HadamardSketch hadamard(64, 100, g);
  CHECK(test::difference(hadamard(a), matmul(hadamard.matrix(), a)) < 1e-12);
  CHECK(test::difference(hadamard(select(a, 1, 1)), select(hadamard(a), 1, 1)) < 1e-14);
  HadamardSketch whole(128, 100, g);  // every row: orthonormal columns
  CHECK(test::difference(matmul(mT(whole.matrix()), whole.matrix()), eye(100, -1, f64)) < 1e-12);
  Tensor basis = qr(test::sample({512, 4}, 9)).q;
  for (int i = 0; i < 5; ++i) {
    for (const Tensor& sketched : {CountSketch(128, 512, g)(basis), HadamardSketch(128, 512, g)(basis)}) {
      std::vector<double> s = to_vector(svd(sketched).s);
      CHECK(s.front() < 1.6);
      CHECK(s.back() > 0.5);
    }
  }
  std::vector<double> x{1, 2, 3, 4};
  fast_walsh_hadamard(x.data(), 4);
  CHECK(x == std::vector<double>{5, -1, -2, 0});
  fast_walsh_hadamard(x.data(), 4);
  CHECK(x == std::vector<double>{1, 2, 3, 4});
}

TEST_CASE("least squares: dependent columns are an error, or the shortest solution; bad input is named") {
  Tensor a = tensor({{1.0, 1.0}, {2.0, 2.0}, {3.0, 3.0}}, f64), b = tensor({2.0, 4.0, 6.0}, f64);
  CHECK_THROWS_WITH_AS(lsq_exact(a, b), "lsq_exact: the columns of A [3, 2] are linearly dependent; many x are equally good", ValueError);
  CHECK(test::difference(lsq_exact(a, b, true), tensor({1.0, 1.0}, f64)) < 1e-12);
  CHECK(test::difference(lsq_exact(tensor({{3.0, 4.0}}, f64), tensor({25.0}, f64), true), tensor({3.0, 4.0}, f64)) < 1e-12);
  CHECK_THROWS_WITH_AS(lsq_exact(a, zeros({2})), "lsq_exact: takes A [d, k] and b [d], got [3, 2] and [2]", ShapeError);
  CHECK_THROWS_WITH_AS(lsq_cgls(a, b, zeros({3}), 1), "lsq_cgls: the start must have 2 elements, it is [3]", ShapeError);
  CHECK_THROWS_WITH_AS(lsq_richardson(a, b, zeros({2}), 1, zeros({3, 3}), 1),
                       "lsq_richardson: the preconditioner must be [2, 2], it is [3, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(sketch_preconditioner(a, b), "sketch_preconditioner: the sketched matrix [3, 2] has lost rank; take more rows",
                       ValueError);
  Generator g(1);
  CHECK_THROWS_WITH_AS(HadamardSketch(9, 5, g), "HadamardSketch: rows must lie in [1, 8] for a height of 5, they are 9", ValueError);
  CHECK_THROWS_WITH_AS(CountSketch(0, 5, g), "CountSketch: takes at least 1 row to at least 1, got 5 and 0", ValueError);
  CHECK_THROWS_WITH_AS(CountSketch(2, 5, g)(zeros({4})), "CountSketch: takes [5] or [5, c], got [4]", ShapeError);
}
