// Alternating minimisation: worked numbers, exact recovery, rotated warm starts, invariances, robustness, bad input, the experiment.
#include "methods/classical/matrix_completion/matrix_completion.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "engine/core/parallel.h"
#include "methods/classical/matrix_completion/baselines.h"
#include "methods/classical/matrix_completion/truncated_svd.h"
#include "methods/common/low_rank.h"
#include "methods/runner.h"
#include "ops/create.h"
#include "ops/index.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "tests/ops/samples.h"

namespace plumb::methods::matrix_completion {
Experiment experiment();
}

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::matrix_completion;

namespace {

Tensor worked_matrix() { return matmul(tensor({{1.0}, {2.0}, {-1.0}, {0.5}}, f64), tensor({{2.0, -1.0, 1.0, 3.0}}, f64)); }
Tensor worked_mask() { return tensor({{1, 1, 0, 1}, {1, 0, 1, 1}, {0, 1, 1, 1}, {1, 1, 1, 0}}); }

// Rank k with singular values from κ down to 1, times √(m n).
Tensor low_rank(int64_t m, int64_t n, int64_t k, uint64_t seed, double kappa = 2) {
  Tensor u = qr(test::sample({m, k}, seed)).q, v = qr(test::sample({n, k}, seed + 100)).q;
  return matmul(u * (linspace(kappa, 1, k, f64) * std::sqrt(static_cast<double>(m * n))), mT(v));
}

SparseObservations some_of(const Tensor& matrix, double p, uint64_t seed) {
  Generator g(seed);
  return observe_share(matrix, p, g);
}

AltMinOptions seeded(Generator& g) { return {.generator = &g}; }

void check_up_to_sign(const Tensor& x, const std::vector<double>& expected) {
  std::vector<double> v = to_vector(x);
  double sign = v[0] * expected[0] < 0 ? -1 : 1;
  for (size_t i = 0; i < expected.size(); ++i) CHECK(sign * v[i] == doctest::Approx(expected[i]).epsilon(1e-5));
}

}  // namespace

TEST_CASE("matrix completion: rank 1 by four rows, worked out independently") {
  SparseObservations entries = observe(worked_matrix(), worked_mask());
  ObservedMatrix observed(entries);
  CHECK(observed.density() == 0.75);
  std::vector<double> s = to_vector(truncated_svd({observed, observed.by_row().value, 1 / 0.75}, 4).s);
  for (size_t i = 0; i < 4; ++i)
    CHECK(s[i] == doctest::Approx(std::vector<double>{11.663397, 2.554549, 1.675599, 1.139510}[i]).epsilon(1e-6));
  Tensor u0 = spectral_init(observed, 1, 0.75);
  check_up_to_sign(u0, {0.408346, 0.850478, -0.323073, 0.0745982});
  int64_t work = 0;
  check_up_to_sign(solve_lines(observed.by_column(), u0, {}, {.kind = Solver::exact}, false, 0, work),
                   {4.793532, -2.778288, 2.473831, 7.337959});

  std::vector<double> errors;
  Tensor second;
  Generator g(1);
  AltMinOptions o = seeded(g);
  o.watch = [&](int64_t half, const Tensor& u, const Tensor& v) {
    errors.push_back(relative_error(u, v, worked_matrix()));
    if (half == 2) second = clone(u);
  };
  Completion found = alternating_minimization(entries, 1, 3, {.kind = Solver::exact}, o);
  std::vector<double> expected{0.159407, 0.0374453, 0.00838795, 0.00299383, 0.000630731, 0.000225222};
  REQUIRE(errors.size() == 6);
  for (size_t i = 0; i < 6; ++i) CHECK(errors[i] == doctest::Approx(expected[i]).epsilon(1e-5));
  check_up_to_sign(second, {3.871993, 7.823379, -3.835716, 1.918885});
  CHECK(found.residual.size() == 6);
  CHECK(found.residual.back() < found.residual.front());
}

TEST_CASE("matrix completion: with every entry known, one turn each is exact") {
  Tensor m = low_rank(9, 7, 3, 1);
  ObservedMatrix observed(observe(m, ones_like(m)));
  Tensor u0 = qr(test::sample({9, 3}, 5)).q;
  int64_t work = 0;
  Tensor v = solve_lines(observed.by_column(), u0, {}, {.kind = Solver::exact}, false, 0, work);
  Tensor u = solve_lines(observed.by_row(), orthonormalize(v, u0).orthonormal, {}, {.kind = Solver::exact}, false, 0, work);
  CHECK(relative_error(u, orthonormalize(v, u0).orthonormal, m) < 1e-12);
}

TEST_CASE("matrix completion: all inner solvers find a matrix of rank 3 from half of it") {
  Tensor m = low_rank(60, 50, 3, 2);
  SparseObservations entries = some_of(m, 0.5, 3);
  for (InnerSolver inner :
       {InnerSolver{.kind = Solver::exact}, InnerSolver{.kind = Solver::cgls, .steps = 2},
        InnerSolver{.kind = Solver::sketched_cgls, .steps = 2}, InnerSolver{.kind = Solver::sketched_richardson, .steps = 8},
        InnerSolver{.kind = Solver::sketch_and_solve, .sketch_rows = 24}}) {
    CAPTURE(static_cast<int>(inner.kind));
    Generator g(4);
    Completion found = alternating_minimization(entries, 3, 12, inner, seeded(g));
    CHECK(relative_error(found.u, found.v, m) < 1e-5);
    CHECK(test::difference(matmul(mT(found.v), found.v), eye(3, -1, f64)) < 1e-12);
    CHECK(found.multiply_adds > 0);
    CHECK(found.underdetermined == 0);
  }
}

TEST_CASE("matrix completion: k steps of CGLS are the exact turn") {
  Tensor m = low_rank(40, 40, 4, 3);
  SparseObservations entries = some_of(m, 0.6, 4);
  Generator g(1), again(1);
  Completion exact = alternating_minimization(entries, 4, 2, {.kind = Solver::exact}, seeded(g));
  Completion iterated = alternating_minimization(entries, 4, 2, {.kind = Solver::cgls, .steps = 4}, seeded(again));
  CHECK(test::difference(matmul(iterated.u, mT(iterated.v)), matmul(exact.u, mT(exact.v))) < 1e-7);
}

TEST_CASE("matrix completion: rotated warm starts keep the residual, so that the objective never grows") {
  Tensor m = low_rank(30, 40, 3, 5);
  SparseObservations entries = some_of(m, 0.5, 6);
  ObservedMatrix observed(entries);
  Tensor u = qr(test::sample({30, 3}, 7)).q, v = test::sample({40, 3}, 8);
  Balanced next = orthonormalize(v, u);
  CHECK(residual_norm(observed, next.start, next.orthonormal) == doctest::Approx(residual_norm(observed, u, v)).epsilon(1e-13));
  for (int64_t steps : {1, 2, 3, 5}) {
    Generator g(9);
    std::vector<double> residual = alternating_minimization(entries, 3, 6, {.steps = steps}, seeded(g)).residual;
    for (size_t i = 1; i < residual.size(); ++i) CHECK(residual[i] <= residual[i - 1] * (1 + 1e-12));
  }
  Generator g(9), other(9);  // without the start, one step does not get there
  double warm = alternating_minimization(entries, 3, 10, {.steps = 1}, seeded(g)).residual.back();
  double cold = alternating_minimization(entries, 3, 10, {.steps = 1, .warm_start = false}, seeded(other)).residual.back();
  CHECK(warm < 0.1 * cold);
}

TEST_CASE("matrix completion: scaling scales, permuting rows permutes, threads change no bit") {
  Tensor m = low_rank(30, 25, 2, 7);
  SparseObservations entries = some_of(m, 0.6, 8), scaled = entries, turned = entries;
  for (double& v : scaled.value) v *= 8;
  for (int64_t& r : turned.row) r = (r * 7 + 3) % 30;
  auto run = [](const SparseObservations& e) {
    Generator g(2);
    return alternating_minimization(e, 2, 8, {.kind = Solver::exact}, seeded(g));
  };
  Completion found = run(entries), larger = run(scaled), permuted = run(turned);
  Tensor product = matmul(found.u, mT(found.v));
  CHECK(test::difference(matmul(larger.u, mT(larger.v)), product * 8) < 1e-9);
  std::vector<int64_t> place;
  for (int64_t r = 0; r < 30; ++r) place.push_back((r * 7 + 3) % 30);
  CHECK(test::difference(index_select(matmul(permuted.u, mT(permuted.v)), 0, from_vector(place)), product) < 1e-7);
  CHECK(subspace_distance(index_select(permuted.u, 0, from_vector(place)), found.u) < 1e-7);
  int threads = num_threads();
  set_num_threads(3);
  Completion three = run(entries);
  set_num_threads(1);
  Completion one = run(entries);
  set_num_threads(threads);
  CHECK(test::same_bits(three.u, one.u));
  CHECK(test::same_bits(three.v, one.v));
}

TEST_CASE("matrix completion: noise in every solution leaves a floor in proportion") {
  Tensor m = low_rank(80, 80, 3, 9);
  SparseObservations entries = some_of(m, 0.5, 10);
  auto floor_of = [&](double noise) {
    Generator g(3);
    Completion c = alternating_minimization(entries, 3, 8, {.kind = Solver::exact, .noise = noise}, seeded(g));
    return relative_error(c.u, c.v, m);
  };
  double coarse = floor_of(1e-2), fine = floor_of(1e-4);
  CHECK(coarse / 1e-2 > 0.7);
  CHECK(coarse / 1e-2 < 3);
  CHECK(coarse / fine == doctest::Approx(100).epsilon(0.35));
}

TEST_CASE("matrix completion: baselines recover too, soft-impute with its bias") {
  Tensor m = low_rank(50, 50, 2, 11);
  SparseObservations entries = some_of(m, 0.6, 12);
  ObservedMatrix observed(entries);
  auto error = [&](const Factors& f) { return relative_error(f.u, f.v, m); };
  double start = error(spectral_completion(observed, 2));
  CHECK(start > 0.1);
  CHECK(error(gradient_descent(observed, 2)) < 1e-4);
  CHECK(error(gradient_descent(observed, 2, {.balance = 0})) < 1e-4);
  CHECK(error(singular_value_projection(observed, 2, {.iterations = 60})) < 1e-4);
  Generator g(1);
  double soft = error(soft_impute(entries, 2, {.generator = &g}));
  CHECK(soft < 0.2 * start);
  CHECK(soft > 1e-7);
}

TEST_CASE("truncated_svd: as the dense one, also of a low-rank part beside the sparse one, and from a start nearby") {
  Tensor m = test::sample({20, 15}, 13), left = test::sample({20, 2}, 14), right = test::sample({15, 2}, 15);
  ObservedMatrix observed(some_of(m, 0.4, 16));
  Tensor dense = zeros({20, 15}, f64);
  for (int64_t r = 0; r < 20; ++r)
    for (int64_t i = observed.by_row().start[static_cast<size_t>(r)]; i < observed.by_row().start[static_cast<size_t>(r) + 1]; ++i)
      dense.data<double>()[r * 15 + observed.by_row().index[static_cast<size_t>(i)]] = observed.by_row().value[static_cast<size_t>(i)];
  dense = dense * 1.5 + matmul(left, mT(right));
  LowRankPlusSparse a{observed, observed.by_row().value, 1.5, left, right};
  TruncatedSvd found = truncated_svd(a, 3);
  CHECK(test::difference(found.s, narrow(svd(dense).s, 0, 0, 3)) < 1e-10);
  CHECK(test::difference(matmul(found.u * found.s, mT(found.v)), project_rank(dense, 3)) < 1e-7);
  TruncatedSvd again = truncated_svd(a, 3, {.start = found.v});
  CHECK(again.iterations < found.iterations);
  CHECK_THROWS_WITH_AS(truncated_svd(a, 16), "truncated_svd: k = 16 must lie in [1, 15]", ValueError);
}

TEST_CASE("matrix completion: splitting the samples uses each entry in one turn") {
  Tensor m = low_rank(60, 60, 1, 17);
  SparseObservations entries = observe(m, ones_like(m));
  Generator g(5);
  std::vector<SparseObservations> parts = split(entries, 7, g);
  size_t total = 0;
  for (const auto& part : parts) total += part.value.size();
  CHECK(total == 3600);
  AltMinOptions o = seeded(g);
  o.sample_splitting = true;
  Completion found = alternating_minimization(entries, 1, 3, {.kind = Solver::exact}, o);
  CHECK(relative_error(found.u, found.v, m) < 0.02);
}

TEST_CASE("matrix completion: lines with too few entries are errors, or take the shortest solution and are counted") {
  Tensor m = low_rank(8, 8, 2, 18), mask = ones_like(m);
  for (int64_t c = 0; c < 8; ++c) mask.data<double>()[3 * 8 + c] = 0;
  CHECK_THROWS_WITH_AS(alternating_minimization(observe(m, mask), 2, 1), "matrix_completion: row 3 has no known entry", ValueError);
  mask.data<double>()[3 * 8 + 5] = 1;
  SparseObservations entries = observe(m, mask);
  CHECK_THROWS_WITH_AS(alternating_minimization(entries, 2, 1),
                       "matrix_completion: row 3 has 1 known entries, fewer than the rank 2; ask for minimum_norm or a lower rank",
                       ValueError);
  Generator g(6);
  AltMinOptions o = seeded(g);
  o.minimum_norm = true;
  Completion found = alternating_minimization(entries, 2, 10, {.kind = Solver::exact}, o);
  CHECK(found.underdetermined == 1);
  Tensor known = matmul(found.u, mT(found.v)) - m;
  CHECK(max(abs(narrow(known, 0, 4, 4))).item() < 1e-6);
  CHECK(std::abs(known.data<double>()[3 * 8 + 5]) < 1e-6);
}

TEST_CASE("matrix completion: clipping takes out rows that stand out, or says that too little is left") {
  Tensor spiked = ones({16, 1}, f64);  // the first row ten times as long as the others
  spiked.data<double>()[0] = 10;
  Tensor m = matmul(spiked, tensor({{1.0, 1.0, 1.0, 1.0}}, f64));
  ObservedMatrix observed(observe(m, ones_like(m)));
  Tensor kept = spectral_init(observed, 1, 1, 0.5);
  CHECK(kept.data<double>()[0] == 0);
  CHECK(std::abs(kept.data<double>()[1]) == doctest::Approx(1 / std::sqrt(15.0)));
  CHECK(std::abs(spectral_init(observed, 1, 1, std::numeric_limits<double>::infinity()).data<double>()[0]) > 0.9);
}

TEST_CASE("matrix completion: bad input is named") {
  Tensor m = low_rank(6, 5, 2, 19);
  SparseObservations entries = observe(m, ones_like(m)), twice = entries, outside = entries, ragged = entries, bad = entries;
  twice.row.push_back(2), twice.column.push_back(3), twice.value.push_back(1);
  CHECK_THROWS_WITH_AS(ObservedMatrix{twice}, "matrix_completion: entry (2, 3) is given twice", ValueError);
  SparseObservations nothing{3, 3, {}, {}, {}};
  outside.row[4] = 6;
  CHECK_THROWS_WITH_AS(ObservedMatrix{outside}, "matrix_completion: entry (6, 4) lies outside a matrix of 6 x 5", IndexError);
  ragged.value.pop_back();
  CHECK_THROWS_WITH_AS(ObservedMatrix{ragged}, "matrix_completion: 30 rows, 30 columns and 29 values must be as many", ShapeError);
  bad.value[7] = NAN;
  CHECK_THROWS_WITH_AS(ObservedMatrix{bad}, "matrix_completion: entry (1, 2) is not finite", ValueError);
  CHECK_THROWS_WITH_AS(ObservedMatrix(SparseObservations(nothing)), "matrix_completion: no entry is known", ValueError);
  CHECK_THROWS_WITH_AS(alternating_minimization(entries, 6, 1), "matrix_completion: the rank 6 must lie in [1, 5] for a matrix of 6 x 5",
                       ValueError);
  CHECK_THROWS_WITH_AS(alternating_minimization(entries, 2, 0), "matrix_completion: needs at least 1 round, got 0", ValueError);
  CHECK_THROWS_WITH_AS(alternating_minimization(entries, 2, 1, {.steps = 0}),
                       "matrix_completion: the inner solver needs at least 1 step, got 0", ValueError);
  ObservedMatrix observed(entries);
  CHECK_THROWS_WITH_AS(spectral_init(observed, 2, 0), "spectral_init: p must lie in (0, 1], it is 0", ValueError);
  CHECK_THROWS_WITH_AS(spectral_init(observed, 2, 1.5), "spectral_init: p must lie in (0, 1], it is 1.5", ValueError);
  CHECK_THROWS_WITH_AS(spectral_init(observed, 2, 1, 0), "spectral_init: clip must be positive, it is 0", ValueError);
  Generator g(1);
  CHECK_THROWS_WITH_AS(observe_share(m, 1.01, g), "observe_share: p must lie in (0, 1], it is 1.01", ValueError);
  CHECK_THROWS_WITH_AS(residuals(observed, zeros({6, 2}), zeros({6, 2})),
                       "residuals: factors [6, 2] and [6, 2] do not fit a matrix of 6 x 5", ShapeError);
  CHECK_THROWS_WITH_AS(gradient_descent(observed, 2, {.step = 0}),
                       "gradient_descent: the step must be positive and the balance not negative, they are 0 and 0.5",
                       ValueError);
}

TEST_CASE("matrix completion: the experiment, small: two warm steps are as good as exact turns") {
  Results results = run_experiment({"classical", "matrix_completion", &experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  Experiment e = experiment();
  CHECK(results.cells.size() == e.variants.size());
  auto value = [&](const std::string& variant) {
    for (const CellResult& c : results.cells)
      if (c.variant == variant) return c.measured.metrics.front().second;
    return std::numeric_limits<double>::quiet_NaN();
  };
  CHECK(value(e.method) < value("spectral start") - 1);
  CHECK(value(e.method) < value(e.baseline) + 0.5);
}
