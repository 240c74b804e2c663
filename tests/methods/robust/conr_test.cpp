// ConR: the worked examples in both forms, what is positive and negative, limits and invariances, mistakes, its baselines, the experiment.
#include "methods/robust/conr/conr.h"

#include <doctest/doctest.h>

#include <cmath>

#include "methods/common/label_density.h"
#include "methods/common/masked_contrastive.h"
#include "methods/robust/conr/baselines.h"
#include "methods/robust/conr/trial.h"
#include "methods/runner.h"
#include "ops/gradcheck.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/check_close.h"
#include "tests/methods/measured.h"

using namespace plumb;
using namespace plumb::methods;
using conr::conr_anchors, conr::conr_loss, conr::ConrOptions, conr::Denominator, conr::Push;

namespace plumb::methods::conr {
Experiment experiment();
}
namespace plumb::methods::conr_abalone {
Experiment experiment();
}

namespace {

Tensor features() { return tensor({{1.0, 0.0}, {0.8, 0.6}, {0.6, 0.8}, {0.0, 1.0}, {1.0, 0.1}}, f64); }
Tensor targets() { return tensor({30.0, 30.5, 40.0, 41.0, 55.0}, f64); }
Tensor predictions() { return tensor({31.0, 33.0, 33.5, 39.0, 31.5}, f64); }

// Zeros exactly, the others to the digits of the card.
void check_anchors(const Tensor& got, const std::vector<double>& wanted) {
  auto values = to_vector(got);
  REQUIRE(values.size() == wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    CAPTURE(i);
    if (wanted[i] == 0)
      CHECK(values[i] == 0);
    else
      CHECK(values[i] == doctest::Approx(wanted[i]).epsilon(4e-6));
  }
}

}  // namespace

TEST_CASE("conr: worked example 1, tau 1, in the paper's form and the code's") {
  ConrOptions paper{.tau = 1}, code{.tau = 1, .denominator = Denominator::code};
  check_anchors(conr_anchors(features(), targets(), predictions(), paper), {.940221, .828753, .828753, 0, 0});
  CHECK(conr_loss(features(), targets(), predictions(), paper).item() == doctest::Approx(.519546).epsilon(3e-6));
  check_anchors(conr_anchors(features(), targets(), predictions(), code), {1.47198, 1.40800, 1.40800, 0, 0});
  CHECK(conr_loss(features(), targets(), predictions(), code).item() == doctest::Approx(.857597).epsilon(3e-6));
}

TEST_CASE("conr: worked example 2, tau 0.2, with weights and with a stronger push") {
  ConrOptions paper, code{.denominator = Denominator::code};
  check_anchors(conr_anchors(features(), targets(), predictions(), paper), {1.48269, 1.23760, 1.23760, 0, 0});
  CHECK(conr_loss(features(), targets(), predictions(), paper).item() == doctest::Approx(.791580).epsilon(3e-6));
  check_anchors(conr_anchors(features(), targets(), predictions(), code), {1.49919, 1.25863, 1.25863, 0, 0});
  CHECK(conr_loss(features(), targets(), predictions(), code).item() == doctest::Approx(.803290).epsilon(3e-6));
  Tensor w = tensor({1.0, 1.0, 2.0, 2.0, 4.0}, f64);
  check_anchors(conr_anchors(features(), targets(), predictions(), paper, w), {1.48269, 1.23760, 1.77405, 0, 0});
  CHECK(conr_loss(features(), targets(), predictions(), paper, w).item() == doctest::Approx(1.25368).epsilon(3e-6));
  CHECK(conr_loss(features(), targets(), predictions(), {.weigh_anchors = false}, w).item() ==
        doctest::Approx((1.48269 + 1.23760 + 1.77405) / 5).epsilon(3e-6));
  check_anchors(conr_anchors(features(), targets(), predictions(), {.e = 0.2}), {5.97772, 2.76504, 2.76504, 0, 0});
  CHECK(conr_loss(features(), targets(), predictions(), {.e = 0.2}).item() == doctest::Approx(2.30156).epsilon(3e-6));
}

TEST_CASE("conr: the linear push is weight times e times the distance") {
  // Anchor 0: positive 1 at cosine 0.8, negative 4 at cosine 1/√1.01 and 25 away. Anchors 1 and 2: 0.6 or 0.8·…, 9.5 away.
  Tensor w = tensor({2.0, 1.0, 1.0, 1.0, 1.0}, f64);
  double positive = std::exp(0.8), negative = std::exp(1 / std::sqrt(1.01));
  auto rows = to_vector(conr_anchors(features(), targets(), predictions(), {.tau = 1, .e = 0.2, .push = Push::linear}, w));
  CHECK(rows[0] == doctest::Approx(-std::log(positive / (positive + 2 * 0.2 * 25 * negative))).epsilon(1e-12));
}

TEST_CASE("conr: right predictions cost nothing and pass no gradient") {
  Tensor f = features().requires_grad_();
  Tensor loss = conr_loss(f, targets(), targets());
  CHECK(loss.item() == 0);
  loss.backward();
  for (double v : to_vector(f.grad())) CHECK(v == 0);
}

TEST_CASE("conr: with beta 0 the objective is the regression loss, bit for bit") {
  Tensor w = tensor({1.0, 1.0, 2.0, 2.0, 4.0}, f64), a = predictions().requires_grad_(), b = predictions().requires_grad_();
  Tensor loss = conr::conr_objective(features(), targets(), a, 0, {}, w), plain = weighted_l1(b, targets(), w);
  CHECK(loss.item() == plain.item());
  loss.backward();
  plain.backward();
  CHECK(to_vector(a.grad()) == to_vector(b.grad()));
  CHECK(conr::conr_objective(features(), targets(), predictions(), 2).item() ==
        doctest::Approx(l1_loss(predictions(), targets()).item() + 2 * conr_loss(features(), targets(), predictions()).item())
            .epsilon(1e-12));
}

TEST_CASE("conr: gradients go into the features, as central differences say, and never into predictions, targets or weights") {
  Tensor w = tensor({1.0, 1.0, 2.0, 2.0, 4.0}, f64);
  for (Denominator form : {Denominator::paper, Denominator::code}) {
    auto loss = [&](const Tensor& f) { return conr_loss(f, targets(), predictions(), {.e = 0.05, .denominator = form}, w); };
    CHECK_MESSAGE(gradcheck(loss, {features()}).passed, gradcheck(loss, {features()}).message);
  }
  Tensor f = features().requires_grad_(), p = predictions().requires_grad_(), y = targets().requires_grad_(),
         v = plumb::clone(w).requires_grad_();
  conr_loss(f, y, p, {}, v).backward();
  CHECK(f.grad().defined());
  CHECK_FALSE(p.grad().defined());
  CHECK_FALSE(y.grad().defined());
  CHECK_FALSE(v.grad().defined());
}

TEST_CASE("conr: lengths of features, the order of the batch and duplicates do not matter to what each example gets") {
  Tensor scaled = features() * unsqueeze(tensor({3.0, 0.1, 1.0, 7.0, 100.0}, f64), 1);
  double loss = conr_loss(features(), targets(), predictions()).item();
  CHECK(conr_loss(scaled, targets(), predictions()).item() == doctest::Approx(loss).epsilon(1e-12));
  Tensor order = tensor({3, 1, 4, 0, 2});
  auto in = [&](const Tensor& x) { return index_select(x, 0, order); };
  CHECK(conr_loss(in(features()), in(targets()), in(predictions())).item() == doctest::Approx(loss).epsilon(1e-12));
  auto twice = [](const Tensor& x) { return cat({x, x}); };
  auto rows = to_vector(conr_anchors(twice(features()), twice(targets()), twice(predictions())));
  for (size_t i = 0; i < 5; ++i) CHECK(rows[i] == doctest::Approx(rows[i + 5]).epsilon(1e-12));
  CHECK(rows[4] > 0);  // its double is a positive now, at cosine 1
}

TEST_CASE("conr: without push and weights, where every pair is one or the other, it is the supervised contrastive loss") {
  Generator g(1);
  Tensor f = randn({6, 3}, {.dtype = f64, .generator = &g});
  std::vector<int64_t> labels{0, 0, 1, 1, 1, 2};
  Tensor y = to(from_vector(labels), f64) * 10.0, confused = zeros({6}, f64);  // every pair is similar, says the prediction
  auto rows = to_vector(conr_anchors(f, y, confused, {.e = 0}));
  CHECK(rows[5] == 0);  // no positive
  double total = 0;
  for (double v : rows) total += v;
  CHECK(total / 5 == doctest::Approx(supervised_contrastive(f, from_vector(labels), 0.2).item()).epsilon(1e-12));
}

TEST_CASE("conr: targets of several dimensions are compared by the sum of their distances") {
  Tensor y = stack({targets(), zeros({5}, f64)}, 1), p = stack({predictions(), zeros({5}, f64)}, 1);
  CHECK(conr_loss(features(), y, p).item() == conr_loss(features(), targets(), predictions()).item());
  Tensor apart = stack({targets(), tensor({0.0, 2.0, 0.0, 0.0, 0.0}, f64)}, 1);
  auto rows = to_vector(conr_anchors(features(), apart, p));
  CHECK(rows[0] == 0);  // 0 and 1 are 2.5 apart now: no positive
}

TEST_CASE("conr: equal features at a low temperature do not overflow, and a feature of length 0 has a value") {
  Tensor same = ones({5, 2});
  Tensor loss = conr_loss(same, targets(), predictions(), {.tau = 0.07, .e = 0.2});
  CHECK(std::isfinite(loss.item()));
  // One positive each and negatives at the same cosine: log(1 + S).
  double wanted = (std::log1p(std::exp(0.2 * 25)) + 2 * std::log1p(std::exp(0.2 * 9.5))) / 5;
  CHECK(loss.item() == doctest::Approx(wanted).epsilon(1e-5));
  Tensor zero = features();
  zero.data<double>()[0] = 0;  // row 0 is the zero vector
  Tensor f = zero.requires_grad_();
  Tensor with = conr_loss(f, targets(), predictions());
  CHECK(std::isfinite(with.item()));
  with.backward();
  for (double v : to_vector(f.grad())) CHECK(std::isfinite(v));
}

TEST_CASE("conr: mistakes are named") {
  Tensor f = features(), y = targets(), p = predictions();
  CHECK_THROWS_WITH_AS(conr_loss(f, y, p, {.tau = 0}), "conr: tau must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(conr_loss(f, y, p, {.omega = -1}), "conr: omega must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(conr_loss(f, y, p, {.e = INFINITY}), "conr: e must be finite, it is inf", ValueError);
  CHECK_THROWS_WITH_AS(conr_loss(f, y, p, {.e = -1, .push = Push::linear}), "conr: e must not be negative with a linear push, it is -1",
                       ValueError);
  CHECK_THROWS_WITH_AS(conr::conr_objective(f, y, p, -1), "conr: beta must not be negative, it is -1", ValueError);
  Tensor nan = tensor({30.0, NAN, 40.0, 41.0, 55.0}, f64), four = tensor({1.0, 2.0, 3.0, 4.0}, f64);
  CHECK_THROWS_WITH_AS(conr_loss(f, nan, p), "conr: targets hold a NaN", ValueError);
  CHECK_THROWS_WITH_AS(conr_loss(f, y, nan), "conr: predictions hold a NaN", ValueError);
  CHECK_THROWS_WITH_AS(conr_loss(f, four, p), "conr: targets [4] for 5 features", ShapeError);
  CHECK_THROWS_WITH_AS(conr_loss(f, unsqueeze(y, 1), p), "conr: targets [5, 1] for predictions [5]", ShapeError);
  CHECK_THROWS_WITH_AS(conr_loss(f, y, p, {}, -ones({5})), "conr: weights must not be negative", ValueError);
  CHECK_THROWS_WITH_AS(conr_loss(f, y, p, {}, four), "conr: weights [4] for 5 features", ShapeError);
  CHECK_THROWS_WITH_AS(conr_loss(narrow(f, 0, 0, 1), narrow(y, 0, 0, 1), narrow(p, 0, 0, 1)), "conr: a batch of 1; it takes two to compare",
                       ValueError);
  CHECK_THROWS_WITH_AS(conr_loss(y, y, p), "conr: features [5] must be [M, D]", ShapeError);
}

TEST_CASE("conr's baselines: the balanced squared error by hand") {
  Tensor p = tensor({1.0, 2.0}, f64), y = tensor({0.0, 3.0}, f64);
  // 2σ² = 2: logits −(1, 4)/2 and −(4, 1)/2.
  double one = std::log(std::exp(-0.5) + std::exp(-2.0)) + 0.5;
  CHECK(conr::balanced_mse(p, y, 1).item() == doctest::Approx(2 * one).epsilon(1e-12));
  auto loss = [&](const Tensor& x) { return conr::balanced_mse(x, y, 0.7); };
  CHECK(gradcheck(loss, {p}).passed);
  CHECK_THROWS_WITH_AS(conr::balanced_mse(p, y, 0), "balanced_mse: sigma must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(conr::balanced_mse(p, tensor({0.0, NAN}, f64), 1), "balanced_mse: a target is NaN", ValueError);
  CHECK_THROWS_AS(conr::balanced_mse(p, tensor({0.0}, f64), 1), ShapeError);
}

TEST_CASE("conr's baselines: ranks, and features whose ranks are those of the targets cost nothing") {
  check_close(conr::normalised_ranks(tensor({{0.1, 5.0, -2.0}, {3.0, 3.0, 1.0}}, f64)), {2.0 / 3, 1.0 / 3, 1, 1.0 / 3, 2.0 / 3, 1}, 1e-12);
  Generator g(1);
  // Features on a circle, evenly along the targets.
  std::vector<double> angles{0, 0.2, 0.5, 1.1}, rows;
  for (double a : angles) rows.push_back(std::cos(a)), rows.push_back(std::sin(a));
  Tensor f = from_vector(rows, {4, 2}), y = from_vector(angles);
  CHECK(conr::rank_similarity(f, y, g).item() == 0);
  // The two last exchanged: ranks of rows 0 and 1 differ by 1/4 at two places, of the others as counted below.
  Tensor wrong = index_select(f, 0, tensor({0, 1, 3, 2}));
  Tensor x = plumb::clone(wrong).requires_grad_();
  Tensor loss = conr::rank_similarity(x, y, g);
  // Row 2 sees angles (1.1, 0.9, 0, 0.6) for targets (0.5, 0.3, 0, 0.6): ranks (4, 3, 1, 2) for (3, 2, 1, 4).
  // Row 3 sees (0.5, 0.3, 0.6, 0) for (1.1, 0.9, 0.6, 0): ranks (3, 2, 4, 1) for (4, 3, 2, 1).
  CHECK(loss.item() == doctest::Approx((2 + 2 + 6 + 6) / 16.0 / 4).epsilon(1e-12));
  loss.backward();
  double moved = 0;
  for (double v : to_vector(x.grad())) moved += std::abs(v);
  CHECK(moved > 0);
  // A small step against the gradient does not make it worse, many steps make it right.
  Tensor now = plumb::clone(wrong);
  for (int step = 0; step < 300; ++step) {
    Tensor leaf = now.detach().requires_grad_();
    conr::rank_similarity(leaf, y, g).backward();
    now = now - leaf.grad() * 0.1;
  }
  CHECK(conr::rank_similarity(now, y, g).item() < loss.item());
  Tensor doubled = cat({f, wrong}), targets_twice = cat({y, y});
  CHECK(std::isfinite(conr::rank_similarity(doubled, targets_twice, g).item()));
  CHECK_THROWS_WITH_AS(conr::rank_similarity(f, y, g, 0), "rank_similarity: the interpolation must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(conr::rank_similarity(f, tensor({0.0, 1.0, NAN, 2.0}, f64), g), "rank_similarity: a target is NaN", ValueError);
}

TEST_CASE("conr's baselines: features are moved to smoothed statistics of their bins") {
  conr::FeatureSmoother smoother(3, 1, {.momentum = 0.9, .size = 3, .sigma = 1});
  Tensor f = tensor({{1.0}, {3.0}, {10.0}, {20.0}});
  Tensor bins = tensor({0, 0, 1, 1});
  CHECK(to_vector(smoother(f, bins)) == to_vector(f));  // nothing is known yet
  smoother.update(f, bins);
  double k = std::exp(-0.5), near = 1 / (1 + k), far = k / (1 + k);
  check_close(smoother.mean(), {2, 15, 0}, 1e-6);
  check_close(smoother.variance(), {2, 50, 1}, 1e-6);
  double mean0 = near * 2 + far * 15, variance0 = near * 2 + far * 50;
  CHECK(to_vector(smoother.smoothed_mean())[0] == doctest::Approx(mean0).epsilon(1e-6));
  double scale = std::sqrt(std::min(10.0, variance0 / 2));
  CHECK(to_vector(smoother(f, bins))[0] == doctest::Approx((1 - 2) * scale + mean0).epsilon(1e-5));
  CHECK(to_vector(smoother(tensor({{7.0}}), tensor({2})))[0] == 7);  // a bin without statistics
  smoother.update(tensor({{12.0}}), tensor({0}));
  CHECK(to_vector(smoother.mean())[0] == doctest::Approx(0.9 * 2 + 0.1 * 12).epsilon(1e-6));
  CHECK_THROWS_WITH_AS(smoother.update(f, tensor({0, 0, 1, 3})), "feature_smoother: bin 3 is outside [0, 3)", IndexError);
  CHECK_THROWS_AS(smoother.update(f, tensor({0})), ShapeError);
  CHECK_THROWS_AS(smoother(zeros({4, 2}), bins), ShapeError);
  CHECK_THROWS_WITH_AS(conr::FeatureSmoother(0, 1), "feature_smoother: 0 bins of 1 features", ValueError);
  CHECK_THROWS_WITH_AS(conr::FeatureSmoother(1, 1, {.momentum = 2}), "feature_smoother: the momentum must lie in [0, 1], it is 2",
                       ValueError);
}

TEST_CASE("conr: the experiment measures every variant at the smoke budget") {
  Experiment e = conr::experiment();
  Results results = run_experiment({"robust", "conr", &conr::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == e.variants.size());
  for (const Variant& v : e.variants) {
    CAPTURE(v.name);
    double all = measured(results, v.name, "MAE (°)");
    CHECK(all > 0);
    CHECK(all < 40);  // always saying the training targets' median is wrong by more
    CHECK(measured(results, v.name, "geometric mean (°)") <= all);
  }
}

TEST_CASE("conr: the second experiment measures every variant at the smoke budget, on made-up shells") {
  Experiment e = conr_abalone::experiment();
  Results results = run_experiment({"robust", "conr_abalone", &conr_abalone::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == e.variants.size());
  for (const Variant& v : e.variants) {
    CAPTURE(v.name);
    CHECK(measured(results, v.name, "MAE (rings)") < 12);  // ages reach 29
    CHECK(measured(results, v.name, "few (rings)") > measured(results, v.name, "medium (rings)"));
    CHECK(measured(results, v.name, "training examples") == 266);
  }
}

TEST_CASE("conr: variants of the experiments are what their names say") {
  auto named = [](const char* name) { return conr::recipe_named(name, {.omega = 3, .tau = 0.3}); };
  conr::Recipe plain = named("L1"), all = named("LDS + ConR, β = 0.2"), code = named("ConR, β = 4, the code's denominator");
  CHECK(plain.beta == 0);
  CHECK(plain.sigma == 0);
  CHECK(plain.weights == DensityWeights::none);
  CHECK(all.beta == doctest::Approx(0.2));
  CHECK(all.weights == DensityWeights::sqrt_inverse);
  CHECK(all.conr.omega == 3);
  CHECK(all.conr.tau == 0.3);
  CHECK(code.conr.denominator == Denominator::code);
  CHECK(named("RankSim, γ = 1 + ConR, β = 4").rank == 1);
  CHECK(named("RankSim, γ = 1 + ConR, β = 4").beta == 4);
  CHECK(named("FDS").smooth_features);
  CHECK(named("balanced MSE, σ = 2").sigma == 2);
  CHECK(named("SupCon, δ = 0.2").contrast == doctest::Approx(0.2));
  CHECK(named("ConR, β = 4, τ = 1").conr.tau == 1);
}
