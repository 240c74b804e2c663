// Supervised dictionary learning: worked steps, gradients, limits, invariances, monotone blocks, optima, bad input, the experiments.
#include "methods/classical/sdl/sdl.h"

#include <doctest/doctest.h>

#include <cmath>

#include "methods/classical/sdl/planted.h"
#include "methods/common/logistic_regression.h"
#include "methods/common/low_rank.h"
#include "methods/runner.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/check_close.h"
#include "tests/methods/measured.h"
#include "tests/ops/samples.h"

namespace plumb::methods::sdl {
Experiment experiment();
}
namespace plumb::methods::sdl_optimum {
Experiment experiment();
}

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::sdl;
using plumb::test::difference;
using plumb::test::sample;

namespace {

SdlData three_points() { return {tensor({{1.0, 0.0, 2.0}, {0.0, 1.0, 1.0}}, f64), tensor({1, 0, 1}), ones({1, 3}, f64)}; }

// n points in p dimensions, labels by a direction and noise; the covariate is an intercept.
SdlData some_data(int64_t p, int64_t n, uint64_t seed, int64_t classes = 2) {
  Tensor x = sample({p, n}, seed), score = select(x, 0, 0) + sample({n}, seed + 1);
  Tensor labels = to(score > 0, i64);
  if (classes == 3) labels = labels + to(score > 1.2, i64);
  return {x, labels, full({1, n}, 1 / std::sqrt(static_cast<double>(n)), f64), classes};
}

SdlModel some_model(Kind kind, int64_t p, int64_t r, int64_t n, int64_t k, uint64_t seed) {
  return {kind, sample({p, r}, seed), sample({r, n}, seed + 1), sample({r, k}, seed + 2), sample({1, k}, seed + 3)};
}

double value(const SdlModel& m, const SdlData& d, double xi, double nu) { return objective(m, d, xi, nu).item(); }

bool falls(const std::vector<double>& loss, double slack) {
  for (size_t i = 1; i < loss.size(); ++i)
    if (loss[i] > loss[i - 1] + slack * std::abs(loss[i - 1])) return false;
  return true;
}

}  // namespace

TEST_CASE("sdl: one lifted step by hand, gradients, projection, and an F that may grow") {
  SdlData d = three_points();
  Tensor theta = tensor({{0.5, 1.0, 0.2, 1.8}, {-0.5, 0.5, 0.1, 0.9}}, f64), gamma = tensor({{0.1}}, f64);
  Lifted f = lifted_objective(theta, gamma, d, Kind::filter, 0.5, 0.1);
  Tensor logits = matmul(mT(d.x), narrow(theta, 1, 0, 1)) + 0.1;
  check_close(logits, {0.6, -0.4, 0.6}, 1e-12);
  check_close(reference_probabilities(logits), {0.645656, 0.401312, 0.645656}, 1e-6);
  CHECK(f.value == doctest::Approx(2.013991).epsilon(3e-7));
  check_close(f.theta, {-0.963031, 0, 0.2, -0.2, -0.0530314, 0.5, -0.9, -0.1}, 1e-6);
  check_close(f.gamma, {-0.287375}, 1e-6);
  Tensor moved = theta - f.theta * 0.2;
  check_close(moved, {0.692606, 1, 0.16, 1.84, -0.489394, 0.4, 0.28, 0.92}, 1e-6);
  check_close(svd(moved).s, {2.374962, 0.758134}, 1e-6);
  Tensor projected = project_rank_gram(moved, 1);
  check_close(projected, {0.416359, 0.994061, 0.235744, 1.894405, 0.173507, 0.414250, 0.0982404, 0.789446}, 1e-6);
  Tensor stepped = gamma - f.gamma * 0.2;
  check_close(stepped, {0.157475}, 1e-6);
  CHECK(lifted_objective(projected, stepped, d, Kind::filter, 0.5, 0.1).value == doctest::Approx(2.161671).epsilon(3e-7));
}

TEST_CASE("sdl: a factored point by hand, in both models") {
  SdlData d = three_points();
  for (Kind kind : {Kind::feature, Kind::filter}) {
    SdlModel m{kind, tensor({{1.0}, {0.5}}, f64), tensor({{1.0, 0.2, 1.8}}, f64), tensor({{0.8}}, f64), tensor({{0.1}}, f64)};
    m.w.requires_grad_(), m.h.requires_grad_(), m.beta.requires_grad_();
    Tensor loss = objective(m, d, 0.5);
    loss.backward();
    if (kind == Kind::feature) {
      CHECK(loss.item() == doctest::Approx(1.941962).epsilon(3e-7));
      check_close(m.h.grad(), {0.0187596, 0.201709, -0.391228}, 1e-6);
      check_close(m.w.grad(), {-0.32, 0.14}, 1e-9);
      check_close(m.beta.grad(), {-0.493887}, 1e-6);
    } else {
      CHECK(loss.item() == doctest::Approx(2.005750).epsilon(3e-7));
      check_close(m.w.grad(), {-0.725795, 0.550690}, 1e-6);
      check_close(m.beta.grad(), {-0.250563}, 1e-6);
    }
  }
}

TEST_CASE("sdl: the lifted gradient is that of the lifted value, in both models, with three classes") {
  SdlData d = some_data(4, 9, 1, 3);
  for (Kind kind : {Kind::filter, Kind::feature}) {
    SdlModel m = some_model(kind, 4, 2, 9, 2, 5);
    Tensor theta = lift(m);
    Lifted f = lifted_objective(theta, m.gamma, d, kind, 0.7, 0.3);
    CHECK(f.value == doctest::Approx(value(m, d, 0.7, 0.3)).epsilon(1e-12));
    double step = 1e-5;
    for (bool in_theta : {true, false}) {
      std::vector<double> at = to_vector(in_theta ? theta : m.gamma), slope = to_vector(in_theta ? f.theta : f.gamma);
      for (size_t i = 0; i < at.size(); ++i) {
        auto shifted = [&](double by) {
          std::vector<double> v = at;
          v[i] += by;
          return in_theta ? lifted_objective(from_vector(v, theta.shape()), m.gamma, d, kind, 0.7, 0.3).value
                          : lifted_objective(theta, from_vector(v, m.gamma.shape()), d, kind, 0.7, 0.3).value;
        };
        CHECK(std::abs((shifted(step) - shifted(-step)) / (2 * step) - slope[i]) < 1e-6);
      }
    }
  }
}

TEST_CASE("sdl: lifting and taking apart again keeps the objective, and W has norm 1") {
  SdlData d = some_data(5, 12, 2);
  for (Kind kind : {Kind::filter, Kind::feature}) {
    SdlModel m = some_model(kind, 5, 2, 12, 1, 7), back = unlift(lift(m), m.gamma, kind, 2, 1);
    CHECK(norm(back.w).item() == doctest::Approx(1).epsilon(1e-12));
    CHECK(difference(lift(back), lift(m)) < 1e-12);
    CHECK(value(back, d, 0.4, 0.2) == doctest::Approx(value(m, d, 0.4, 0.2)).epsilon(1e-12));
  }
}

TEST_CASE("sdl: any invertible change of the factors leaves the loss") {
  SdlData d = some_data(5, 12, 3);
  Tensor r = tensor({{2.0, 1.0}, {-0.5, 1.5}}, f64);
  for (Kind kind : {Kind::filter, Kind::feature}) {
    SdlModel m = some_model(kind, 5, 2, 12, 1, 11), other = m;
    other.w = matmul(m.w, r);
    other.h = solve(r, m.h);
    other.beta = kind == Kind::filter ? solve(r, m.beta) : matmul(mT(r), m.beta);
    CHECK(value(other, d, 0.4, 0.2) == doctest::Approx(value(m, d, 0.4, 0.2)).epsilon(1e-12));
    CHECK(std::abs(value({kind, other.w, other.h, m.beta, m.gamma}, d, 0.4, 0.2) / value(m, d, 0.4, 0.2) - 1) > 1e-3);
  }
}

TEST_CASE("sdl: the rate that is promised, and the curvature of scaled data") {
  CHECK(contraction(3, {0.45, 0.2}) == doctest::Approx(0.8).epsilon(1e-12));
  CHECK(contraction(1 / 0.45, {0.45, 0.2}) == doctest::Approx(1.111111).epsilon(1e-6));
  CHECK(spectral_norm(tensor({{3.0, 0.0}, {0.0, -4.0}})) == doctest::Approx(4).epsilon(1e-12));
  Tensor x = sample({6, 9}, 4);
  CHECK(spectral_norm(x) == doctest::Approx(svd(x).s.data<double>()[0]).epsilon(1e-9));
  CHECK(spectral_norm(zeros({3, 2})) == 0);
  SdlData d = some_data(6, 9, 5);
  Curvature filter = curvature(d, Kind::filter, 0.1, 0.05), feature = curvature(d, Kind::feature, 0.1, 0.05);
  double joint = spectral_norm(cat({d.x, d.aux}, 0));
  CHECK(filter.smooth == doctest::Approx(0.25 * joint * joint + 0.1).epsilon(1e-9));
  CHECK(feature.smooth == doctest::Approx(0.25 * 2 + 0.1).epsilon(1e-9));  // the intercept's row has norm 1
  CHECK(filter.convex == doctest::Approx(0.1).epsilon(1e-12));
  CHECK(curvature(d, Kind::feature, 9, 0.05).smooth == doctest::Approx(18).epsilon(1e-12));
}

TEST_CASE("sdl_lpgd: at full rank it is convex descent to the optimum: F falls, B becomes X, A is ridge regression") {
  SdlData d = some_data(4, 30, 6);
  d.x = d.x / spectral_norm(d.x);
  double xi = 0.15, nu = 0.1;
  Lpgd found = sdl_lpgd(d, {.rank = 4, .xi = xi, .nu = nu, .iterations = 400});
  CHECK(falls(found.loss, 1e-13));
  CHECK(difference(narrow(found.theta, 1, 1, 30), d.x) < 1e-12);
  // The optimum of A and Γ by another way: logistic regression on [X; X'] with the ridge ν.
  Tensor seen = cat({mT(d.x), mT(d.aux)}, 1), best = reference_regression(seen, d.labels, zeros({5, 1}, f64), nu, 1e-12);
  CHECK(difference(cat({narrow(found.theta, 1, 0, 1), found.gamma}, 0), best) < 1e-6);
  double optimum = (reference_cross_entropy(matmul(seen, best), d.labels) + sum(square(best)) * nu).item();
  CHECK(found.loss.back() == doctest::Approx(optimum).epsilon(1e-12));
}

TEST_CASE("sdl_lpgd: where the optimum has the rank, the error falls in every step by the factor that is promised") {
  SdlData d = some_data(12, 60, 7);
  d.x = matmul(sample({12, 2}, 20), sample({2, 60}, 21));  // rank 2: [A, B] and [A; B] have rank 3 at the optimum of F itself
  d.x = d.x / spectral_norm(d.x);
  d.aux = {};
  d.labels = to(select(d.x, 0, 0) + sample({60}, 22, f64, -0.1, 0.1) > 0, i64);
  for (Kind kind : {Kind::filter, Kind::feature}) {
    double xi = 0.15, nu = 0.1;
    Curvature c = curvature(d, kind, xi, nu);
    CHECK(c.smooth == doctest::Approx(0.45).epsilon(1e-9));
    CHECK(c.convex == doctest::Approx(0.2).epsilon(1e-9));
    Lpgd far = sdl_lpgd(d, {.rank = 3, .kind = kind, .xi = xi, .nu = nu, .tau = 3, .iterations = 300});
    Lifted slope = lifted_objective(far.theta, far.gamma, d, kind, xi, nu);
    CHECK(max(abs(slope.theta)).item() < 1e-12);
    std::vector<double> distance;
    sdl_lpgd(d, {.rank = 3,
                 .kind = kind,
                 .xi = xi,
                 .nu = nu,
                 .tau = 3,
                 .iterations = 30,
                 .watch = [&](int64_t, const Tensor& theta, const Tensor&) {
                   distance.push_back(std::sqrt(sum(square(theta - far.theta)).item()));
                 }});
    for (size_t i = 1; i < distance.size(); ++i) CHECK(distance[i] <= 0.8 * distance[i - 1] + 1e-12);
  }
}

TEST_CASE("sdl_lpgd: ends at rank r where all factors at once end") {
  manual_seed(1);
  Generator g(7);
  Planted planted = planted_data({.features = 20, .samples = 120, .factors = 4}, g);
  SdlData d{planted.x / spectral_norm(planted.x), planted.labels};
  for (Kind kind : {Kind::filter, Kind::feature}) {
    double xi = 0.15, nu = 0.1;
    Lpgd found = sdl_lpgd(d, {.rank = 3, .kind = kind, .xi = xi, .nu = nu, .tau = 2.9, .iterations = 1000});
    CHECK(svd(found.theta).s.data<double>()[3] < 1e-9);
    CHECK(value(found.model, d, xi, nu) == doctest::Approx(found.loss.back()).epsilon(1e-9));
    SdlModel joint = sdl_joint(d, principal_start(checked(d), 3, kind), xi, nu);
    CHECK(found.loss.back() == doctest::Approx(value(joint, d, xi, nu)).epsilon(1e-8));
  }
}

TEST_CASE("sdl_bcd: F never grows over blocks, in both models, with and without signs, and ends where all factors at once do") {
  manual_seed(2);
  SdlData d = some_data(8, 60, 8);
  d.x = matmul(diag(tensor({3.0, 2.5, 2.0, 0.8, 0.6, 0.5, 0.4, 0.3}, f64)), d.x);
  for (Kind kind : {Kind::filter, Kind::feature})
    for (bool nonnegative : {false, true}) {
      CAPTURE(static_cast<int>(kind));
      CAPTURE(nonnegative);
      Generator g(3);
      Bcd found =
          sdl_bcd(d, {.rank = 3, .kind = kind, .xi = 0.1, .nu = 0.05, .iterations = 40, .nonnegative = nonnegative, .generator = &g});
      CHECK(found.loss.size() == 120);
      CHECK(falls(found.loss, 1e-8));  // logistic regressions are solved to a gradient of 1e-8
      CHECK(norm(found.model.w).item() == doctest::Approx(1).epsilon(1e-9));
      if (nonnegative) {
        CHECK(min(found.model.w).item() >= 0);
        CHECK(min(found.model.h).item() >= 0);
      }
    }
  Generator g(4);
  Bcd long_run = sdl_bcd(d, {.rank = 3, .xi = 0.1, .nu = 0.05, .iterations = 400, .generator = &g});
  SdlModel joint = sdl_joint(d, long_run.model, 0.1, 0.05);
  CHECK(long_run.loss.back() <= value(joint, d, 0.1, 0.05) * (1 + 1e-4));
  Bcd near = sdl_bcd(d, {.rank = 3, .xi = 0.1, .iterations = 5, .trust = 1e-4, .noise = 0});
  CHECK(difference(near.model.w, principal_start(d, 3, Kind::filter).w) < 1e-3);
  CHECK(falls(near.loss, 1e-8));
}

TEST_CASE("sdl: with a large xi the dictionary is PCA's; without labels it is PCA or NMF; with r = p the filter model is regression on X") {
  manual_seed(3);
  SdlData d = some_data(6, 80, 9);
  d.x = matmul(diag(tensor({3.0, 2.5, 2.0, 0.6, 0.4, 0.3}, f64)), d.x);
  Tensor leading = narrow(svd(d.x).u, 1, 0, 3);
  Generator g(5);
  CHECK(subspace_distance(leading, sdl_bcd(d, {.rank = 3, .xi = 1e4, .noise = 0.3, .generator = &g}).model.w) < 1e-3);
  SdlData scaled = d;
  scaled.x = d.x / spectral_norm(d.x);
  CHECK(subspace_distance(leading, sdl_lpgd(scaled, {.rank = 3, .xi = 1e4, .nu = 1e-3}).model.w) < 1e-3);
  SdlModel ignoring = sdl_bcd(d, {.rank = 3, .xi = 1, .supervised = false, .noise = 0.3, .generator = &g}).model;
  CHECK(subspace_distance(leading, ignoring.w) < 1e-8);
  SdlModel parts = sdl_bcd(d, {.rank = 3, .xi = 1, .iterations = 30, .nonnegative = true, .supervised = false, .generator = &g}).model;
  CHECK(min(parts.w).item() >= 0);
  CHECK(reconstruction_error(parts.w, d.x, true) >= reconstruction_error(leading, d.x));
  SdlModel full_rank = sdl_bcd(d, {.rank = 6, .xi = 0.1, .iterations = 3, .noise = 0, .generator = &g}).model;
  Tensor seen = cat({mT(d.x), mT(d.aux)}, 1), w = reference_regression(seen, d.labels, zeros({7, 1}, f64));
  CHECK(difference(matmul(seen, w), training_logits(full_rank, d)) < 1e-4);
}

TEST_CASE("project_rank_gram: idempotent; ranks of theta") {
  Tensor theta = sample({5, 12}, 10), once = project_rank_gram(theta, 2);
  CHECK(difference(project_rank_gram(once, 2), once) < 1e-12);
  CHECK(svd(once).s.data<double>()[2] < 1e-12);
}

TEST_CASE("sdl: new points: training points get their codes' logits, codes of both kinds, exhaustive coding") {
  manual_seed(4);
  SdlData d = some_data(6, 80, 11);
  Generator g(6);
  SdlModel filter = sdl_bcd(d, {.rank = 3, .xi = 0.1, .iterations = 20, .generator = &g}).model;
  CHECK(difference(predict_logits(filter, d.x, d.aux), training_logits(filter, d)) < 1e-12);
  CHECK(difference(predict(filter, d.x, d.aux), reference_probabilities(training_logits(filter, d))) < 1e-12);
  SdlModel feature = sdl_bcd(d, {.rank = 3, .kind = Kind::feature, .xi = 0.5, .nu = 0.1, .iterations = 20, .generator = &g}).model;
  Tensor naive = predict_logits(feature, d.x, d.aux);
  CHECK(difference(naive, matmul(mT(code(feature.w, d.x)), feature.beta) + matmul(mT(d.aux), feature.gamma)) < 1e-12);
  // Where ξ is large the label hardly moves the code, and both ways of coding decide alike.
  Tensor decided = to(squeeze(naive, 1) > 0, i64), exhaustive = predict_exhaustive(feature, d.x, d.aux, 1e5);
  CHECK(mean(to(decided == exhaustive, f64)).item() > 0.98);
  CHECK_THROWS_WITH_AS(predict_exhaustive(filter, d.x, d.aux, 1), "sdl: only the feature model has codes that depend on the label",
                       ValueError);
  Tensor w = tensor({{1.0, 0.5}, {0.0, 1.0}}, f64), x = tensor({{1.0, -1.0}, {1.0, 2.0}}, f64);
  check_close(code(w, x), {0.5, -2, 1, 2}, 1e-12);
  check_close(code(w, x, true), {0.5, 0, 1, 1.2}, 1e-9);  // the second: min over h₂ of (−1 − h₂ / 2)² + (2 − h₂)²
}

TEST_CASE("sdl: refitting is regression on what the dictionary sees, also with the ridge on W beta") {
  SdlData d = some_data(6, 50, 12);
  SdlModel m = some_model(Kind::filter, 6, 2, 50, 1, 13);
  for (double nu : {0.0, 0.3}) {
    SdlModel fitted = refit_classifier(m, d, nu);
    fitted.beta.requires_grad_(), fitted.gamma.requires_grad_();
    objective(fitted, d, 0.2, nu).backward();
    CHECK(max(abs(fitted.beta.grad())).item() < 1e-6);
    CHECK(max(abs(fitted.gamma.grad())).item() < 1e-6);
  }
}

TEST_CASE("planted_data: the direction is orthogonal to what rebuilds, labels follow it, and joint learning finds it") {
  manual_seed(5);
  Generator g(8);
  Planted p = planted_data({}, g);
  CHECK(p.x.shape() == Shape{60, 600});
  CHECK(norm(p.direction).item() == doctest::Approx(1).epsilon(1e-12));
  double agree = mean(to((p.logit > 0) == (p.labels == 1), f64)).item();
  CHECK(agree > 0.75);
  CHECK(agree < 0.9);
  CHECK(std::abs(mean(p.logit).item()) < 1e-9);
  Tensor train = arange(0, 400), test = arange(400, 600);
  SdlData d{columns(p.x, train), narrow(p.labels, 0, 0, 400), full({1, 400}, 1.0, f64)};
  auto accuracy = [&](const SdlModel& m) {
    Tensor z = squeeze(predict_logits(m, columns(p.x, test), full({1, 200}, 1.0, f64)), 1);
    return mean(to((z > 0) == (narrow(p.labels, 0, 400, 200) == 1), f64)).item();
  };
  double pca = accuracy(refit_classifier(principal_start(d, 3, Kind::filter), d)),
         joint = accuracy(sdl_bcd(d, {.rank = 3, .xi = 0.01, .iterations = 60, .generator = &g}).model);
  CHECK(pca < 0.65);
  CHECK(joint > pca + 0.15);
  CHECK_THROWS_WITH_AS(planted_data({.features = 4, .factors = 4}, g),
                       "planted_data: 4 factors must be fewer than the 4 features, and 600 samples at least 2", ValueError);
}

TEST_CASE("sdl: bad input is named") {
  SdlData d = some_data(4, 10, 14);
  CHECK_THROWS_WITH_AS(sdl_lpgd(d, {.rank = 5}), "sdl: the rank 5 must lie in [1, 4] for data [4, 10]", ValueError);
  CHECK_THROWS_WITH_AS(sdl_bcd(d, {.rank = 0}), "sdl: the rank 0 must lie in [1, 4] for data [4, 10]", ValueError);
  CHECK_THROWS_WITH_AS(sdl_bcd(d, {.xi = -1}), "sdl: xi must be finite and not negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(sdl_lpgd(d, {.nu = -1}), "sdl: nu must be finite and not negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(sdl_lpgd(d, {.tau = -1}), "sdl: tau must be finite and not negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(sdl_lpgd(d, {.iterations = 0}), "sdl: needs at least 1 iteration, got 0", ValueError);
  CHECK_THROWS_WITH_AS(sdl_bcd(d, {.inner = 0}), "sdl: needs at least 1 inner step, got 0", ValueError);
  SdlData outside = d, short_labels = d, bad = d, covariates = d, one = d;
  outside.classes = 2;
  outside.labels = d.labels + 1;
  CHECK_THROWS_WITH_AS(sdl_bcd(outside, {.rank = 2}), "sdl: label 2 is outside [0, 2)", IndexError);
  short_labels.labels = narrow(d.labels, 0, 0, 9);
  CHECK_THROWS_WITH_AS(sdl_bcd(short_labels, {.rank = 2}), "sdl: data [4, 10] and labels [9] must be [p, n] and [n]", ShapeError);
  bad.x = clone(d.x);
  bad.x.data<double>()[3] = NAN;
  CHECK_THROWS_WITH_AS(sdl_lpgd(bad, {.rank = 2}), "sdl: X has a number that is not finite", ValueError);
  covariates.aux = ones({1, 9}, f64);
  CHECK_THROWS_WITH_AS(sdl_lpgd(covariates, {.rank = 2}), "sdl: data [4, 10] and covariates [1, 9] must have as many columns", ShapeError);
  one.labels = zeros({10}, i64);
  CHECK_THROWS_WITH_AS(sdl_bcd(one, {.rank = 2}), "sdl: all 10 labels are of one class", ValueError);
  SdlModel m = principal_start(d, 2, Kind::filter);
  CHECK_THROWS_WITH_AS(predict(m, zeros({3, 2}), ones({1, 2})), "sdl: data [3, 2] must be [4, m]", ShapeError);
  CHECK_THROWS_WITH_AS(predict(m, zeros({4, 2})), "sdl: the model takes 1 covariates, got none", ShapeError);
}

TEST_CASE("sdl: the experiment runs: joint learning finds the labels that factorising first does not see") {
  Results results = run_experiment({"classical", "sdl", &sdl::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  CHECK(results.cells.size() == sdl::experiment().variants.size());
  CHECK(measured(results, "SDL-W, BCD", "test accuracy (%)") > measured(results, "PCA, then LR", "test accuracy (%)") + 5);
  CHECK(measured(results, "PCA, then LR", "reconstruction error (%)") <=
        measured(results, "SDL-W, BCD", "reconstruction error (%)") + 1e-9);
}

TEST_CASE("sdl_optimum: the solvers meet at one optimum") {
  Results results = run_experiment({"classical", "sdl_optimum", &sdl_optimum::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  CHECK(results.cells.size() == sdl_optimum::experiment().variants.size());
  CHECK(measured(results, "LPGD, guaranteed step", "log10 relative gap to the optimum, nu = 0.1") < -7);
  CHECK(measured(results, "all factors, L-BFGS", "log10 relative gap to the optimum, nu = 0.1") < -7);
}
