// LDR-KL and ALDR-KL: the worked examples, both limits, what λ may and may not see, mistakes, and the experiment.
#include <doctest/doctest.h>

#include <cmath>

#include "methods/robust/ldr/ldr.h"
#include "methods/runner.h"
#include "ops/gradcheck.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/check_close.h"
#include "tests/methods/measured.h"

using namespace plumb;
using namespace plumb::methods;
using ldr::ScoreNorm;

namespace plumb::methods::ldr {
Experiment experiment();
}

namespace {

Tensor example() { return tensor({{2.0, 1.0, -1.0, 0.5}}, f64); }

double psi(const Tensor& f, int64_t y, double lambda, double margin, ScoreNorm norm = ScoreNorm::none) {
  return ldr::ldr_kl_loss(f, from_vector(std::vector<int64_t>{y}), {.lambda = lambda, .margin = margin, .normalize = norm}).item();
}

Tensor psi_gradient(const Tensor& f, int64_t y, double lambda, double margin) {
  Tensor x = clone(f).requires_grad_();
  ldr::ldr_kl_loss(x, from_vector(std::vector<int64_t>{y}), {.lambda = lambda, .margin = margin, .normalize = ScoreNorm::none}).backward();
  return x.grad();
}

}  // namespace

TEST_CASE("ldr: worked example 1, from the cross-entropy to the hinge and to the mean") {
  CHECK(cross_entropy(example(), tensor({1})).item() == doctest::Approx(1.49518).epsilon(3e-6));
  struct {
    double lambda, margin, wanted;
  } const cases[] = {{1, 0, .108888},    {1, .1, .187320},   {1, 1, .956055},    {.1, .1, .961372},
                     {10, .1, -.242859}, {.001, 1, 1.99861}, {10000, 1, .375059}};
  for (const auto& c : cases) {
    CAPTURE(c.lambda);
    CHECK(psi(example(), 1, c.lambda, c.margin) == doctest::Approx(c.wanted).epsilon(4e-6));
  }
  CHECK(psi(example(), 1, 1e-9, 1) == doctest::Approx(2).epsilon(1e-7));    // max d
  CHECK(psi(example(), 1, 1e9, 1) == doctest::Approx(.375).epsilon(1e-7));  // mean d
}

TEST_CASE("ldr: worked example 2, the gradient is the worst case less the label") {
  check_close(ldr::worst_case(example(), tensor({1}), 1, .1), {.622747, .207294, .0310048, .138954}, 5e-6);
  check_close(psi_gradient(example(), 1, 1, .1), {.622747, -.792705, .0310048, .138954}, 5e-6);
  check_close(psi_gradient(example(), 1, .5, .1), {.859794, -.904732, .00213122, .0428066}, 5e-6);
}

TEST_CASE("ldr: with lambda 1 and no margin it is the cross-entropy less log K, and has its gradient") {
  Generator g(1);
  Tensor start = 3 * randn({6, 5}, {.dtype = f64, .generator = &g});
  Tensor labels = randint(0, 5, {6}, {.dtype = i64, .generator = &g});
  Tensor a = clone(start).requires_grad_(), b = clone(start).requires_grad_();
  Tensor loss = ldr::ldr_kl_loss(a, labels, {.lambda = 1, .margin = 0, .normalize = ScoreNorm::none}), plain = cross_entropy(b, labels);
  CHECK(loss.item() == doctest::Approx(plain.item() - std::log(5)).epsilon(1e-12));
  loss.backward();
  plain.backward();
  auto got = to_vector(a.grad()), wanted = to_vector(b.grad());
  for (size_t k = 0; k < got.size(); ++k) CHECK(std::abs(got[k] - wanted[k]) < 1e-14);
  // Without a margin it is λ times the cross-entropy at temperature λ, less λ log K.
  CHECK(ldr::ldr_kl_loss(start, labels, {.lambda = .3, .margin = 0, .normalize = ScoreNorm::none}).item() ==
        doctest::Approx(.3 * (cross_entropy(start / .3, labels).item() - std::log(5))).epsilon(1e-12));
}

TEST_CASE("ldr: worked example 3, two visits of ALDR-KL, and the larger lambda that hardly moves") {
  ldr::AldrKlLoss loss(2, {.lambda0 = 1, .alpha = 2, .margin = .1, .normalize = ScoreNorm::l1});
  check_close(ldr::normalize_scores(example(), ScoreNorm::l1), {1.77778, .888889, -.888889, .444444}, 4e-6);
  Tensor y = tensor({1}), index = tensor({1});
  CHECK(loss(example(), y, index).item() == doctest::Approx(.158337).epsilon(5e-6));
  check_close(loss.lambdas(), {1, .887209}, 2e-6);
  CHECK(2 * std::log(4) / 2 * std::pow(.887209 - 1, 2) == doctest::Approx(.0176362).epsilon(2e-5));
  CHECK(loss(example(), y, index).item() == doctest::Approx(.159422).epsilon(5e-6));
  check_close(loss.lambdas(), {1, .865516}, 2e-6);
  ldr::AldrKlLoss large(1, {.lambda0 = 10, .alpha = 2, .margin = .1, .normalize = ScoreNorm::l1});
  CHECK(large(example(), y, tensor({0})).item() == doctest::Approx(-.213152).epsilon(5e-6));
  check_close(large.lambdas(), {9.98369}, 1e-6);
  // KL itself: λ = λ₀ − λ₀ KL / (α log K).
  CHECK((1 - .887209) * 2 * std::log(4) == doctest::Approx(.312723).epsilon(1e-5));
}

TEST_CASE("ldr: scores over their mean softplus") {
  check_close(ldr::normalize_scores(example(), ScoreNorm::softplus_mean), {1.79961, 1.11116, .265053, .824174}, 5e-6);
  CHECK(psi(example(), 1, 1, .1, ScoreNorm::softplus_mean) == doctest::Approx(.118593).epsilon(5e-6));
  Tensor any = tensor({{-40.0, -3.0, 0.0}, {5.0, 5.0, 5.0}}, f64);
  for (double row : to_vector(mean(ldr::normalize_scores(any, ScoreNorm::softplus_mean), {1})))
    CHECK(row == doctest::Approx(1).epsilon(1e-12));
}

TEST_CASE("ldr: over all labels the loss comes near a constant as lambda grows") {
  struct {
    double lambda, wanted;
  } const cases[] = {{1, 5.18693}, {10, 3.26814}, {1e4, 3.00027}};
  for (const auto& c : cases) {
    double total = 0;
    for (int64_t y = 0; y < 4; ++y) total += psi(example(), y, c.lambda, 1);
    CHECK(total == doctest::Approx(c.wanted).epsilon(3e-6));
  }
}

TEST_CASE("ldr: what a loss of score differences may not see") {
  Tensor f = example();
  CHECK(psi(f + 7.5, 1, .7, .1) == doctest::Approx(psi(f, 1, .7, .1)).epsilon(1e-12));
  check_close(ldr::normalize_scores(3.7 * f, ScoreNorm::l1), to_vector(ldr::normalize_scores(f, ScoreNorm::l1)), 1e-12);
}

TEST_CASE("ldr: the gradient flows through the score normaliser and stays right at both ends of lambda") {
  Generator g(2);
  Tensor f = randn({4, 5}, {.dtype = f64, .generator = &g}), y = tensor({0, 3, 4, 1});
  for (ScoreNorm norm : {ScoreNorm::none, ScoreNorm::l1, ScoreNorm::softplus_mean})
    for (double lambda : {.3, 1.0, 50.0}) {
      CAPTURE(lambda);
      auto loss = [&](const std::vector<Tensor>& x) -> std::vector<Tensor> {
        return {ldr::ldr_kl_loss(x[0], y, {.lambda = lambda, .normalize = norm, .reduction = Reduction::none})};
      };
      CHECK(gradcheck(loss, {f}).passed);
    }
}

TEST_CASE("aldr: large alpha keeps lambda and the loss where LDR-KL has them; uniform scores keep lambda at lambda0") {
  Generator g(3);
  Tensor f = randn({4, 5}, {.dtype = f64, .generator = &g}), y = tensor({0, 3, 4, 1}), index = tensor({3, 0, 1, 2});
  ldr::AldrKlLoss loss(4, {.lambda0 = .5, .alpha = 1e12});
  double fixed = ldr::ldr_kl_loss(f, y, {.lambda = .5, .margin = .1, .normalize = ScoreNorm::l1}).item();
  CHECK(loss(f, y, index).item() == doctest::Approx(fixed).epsilon(1e-9));
  for (double lambda : to_vector(loss.lambdas())) CHECK(lambda == doctest::Approx(.5).epsilon(1e-9));
  ldr::AldrKlLoss flat(1, {.lambda0 = .5});
  flat(full({1, 5}, 2.0, f64), tensor({2}), tensor({0}));
  CHECK(flat.lambdas().item() == doctest::Approx(.5).epsilon(1e-12));
}

TEST_CASE("aldr: lambda follows the own scores, never the label, falls with confidence within its bounds, and passes no gradient") {
  Tensor sure = tensor({{9.0, 0.0, 0.0}, {9.0, 0.0, 0.0}, {1.0, .8, .9}}, f64);
  ldr::AldrKlLoss loss(3, {.lambda0 = 1, .alpha = 2});
  loss(sure, tensor({0, 1, 0}), tensor({0, 1, 2}));
  auto lambda = to_vector(loss.lambdas());
  CHECK(lambda[0] == lambda[1]);
  CHECK(lambda[0] < lambda[2]);
  for (double v : lambda) {
    CHECK(v >= .5);
    CHECK(v <= 1);
  }
  // The gradient is that of LDR-KL at the new λ.
  Tensor a = clone(sure).requires_grad_(), b = clone(sure).requires_grad_();
  Tensor y = tensor({0, 1, 0}), index = tensor({0, 1, 2});
  loss(a, y, index).backward();
  mean(ldr::ldr_kl_rows(ldr::normalize_scores(b, ScoreNorm::l1), y, loss.lambdas(), .1)).backward();
  check_close(a.grad(), to_vector(b.grad()), 1e-12);
}

TEST_CASE("ldr: large scores with a small lambda, and scores that are all zero, stay finite") {
  Tensor large = tensor({{1000.0, -1000.0, 0.0, 0.0}}, f64);
  CHECK(std::isfinite(psi(large, 1, .01, .1)));
  for (double v : to_vector(psi_gradient(large, 1, .01, .1))) CHECK(std::isfinite(v));
  CHECK(std::isfinite(ldr::ldr_kl_loss(to(large, f32), tensor({1}), {.lambda = .01, .normalize = ScoreNorm::none}).item()));
  Tensor zero = zeros({2, 4}, f64).requires_grad_();
  ldr::AldrKlLoss loss(2, {.lambda0 = 1});
  Tensor value = loss(zero, tensor({0, 3}), tensor({0, 1}));
  CHECK(value.item() == doctest::Approx(psi(zeros({1, 4}, f64), 0, 1, .1)).epsilon(1e-9));
  value.backward();
  for (double v : to_vector(zero.grad())) CHECK(std::abs(v) < 1);
}

TEST_CASE("aldr: a stored table goes on where it was") {
  ldr::AldrKlLoss one(2, {.lambda0 = 1}), other(2, {.lambda0 = 1});
  one(example(), tensor({1}), tensor({1}));
  other.set_lambdas(one.lambdas());
  CHECK(one(example(), tensor({1}), tensor({1})).item() == other(example(), tensor({1}), tensor({1})).item());
}

TEST_CASE("ldr: mistakes are named") {
  Tensor f = example(), y = tensor({1});
  CHECK_THROWS_WITH_AS(ldr::ldr_kl_loss(f, y, {.lambda = 0}), "ldr_kl_loss: lambda must be above 0, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(ldr::ldr_kl_loss(f, y, {.margin = -1}), "ldr_kl_loss: the margin must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(ldr::ldr_kl_loss(f, tensor({4})), "ldr_kl_loss: label 4 is outside [0, 4)", IndexError);
  CHECK_THROWS_WITH_AS(ldr::ldr_kl_loss(zeros({1, 1}), tensor({0})), "ldr_kl_loss: 1 classes; at least 2 are needed", ValueError);
  CHECK_THROWS_WITH_AS(ldr::AldrKlLoss(3, {.alpha = 1}), "aldr_kl: alpha must be above 1, it is 1", ValueError);
  CHECK_THROWS_WITH_AS(ldr::AldrKlLoss(3, {.lambda0 = -2}), "aldr_kl: lambda must be above 0, it is -2", ValueError);
  ldr::AldrKlLoss loss(3, {.lambda0 = 1});
  CHECK_THROWS_WITH_AS(loss(f, y, tensor({3})), "aldr_kl: index 3 is outside [0, 3)", IndexError);
  CHECK_THROWS_WITH_AS(loss(f, tensor({-1}), tensor({0})), "aldr_kl: label -1 is outside [0, 4)", IndexError);
  CHECK_THROWS_WITH_AS(loss.set_lambdas(ones({2})), "aldr_kl: lambdas [2] for 3 samples", ShapeError);
  CHECK_THROWS_WITH_AS(loss.set_lambdas(zeros({3})), "aldr_kl: lambda must be above 0, it is 0", ValueError);
  CHECK(to_vector(loss.lambdas()) == std::vector<double>{1, 1, 1});  // nothing was written
}

TEST_CASE("ldr: the experiment measures every variant at the smoke budget") {
  Results results = run_experiment({"robust", "ldr", &ldr::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 15);
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    double top1 = measured(results, cell.variant, "top-1, clean (%)");
    CHECK(measured(results, cell.variant, "top-3, clean (%)") >= top1);
    CHECK(top1 >= 0);
  }
  CHECK(measured(results, "cross entropy", "top-1, clean (%)") > 30);  // far above chance after few steps
  CHECK(measured(results, "LDR-KL", "top-1, clean (%)") > 30);
}

TEST_CASE("ldr: lambdas of rows are constants") {
  Tensor f = example().requires_grad_(), lambdas = tensor({0.5}, f64).requires_grad_();
  sum(ldr::ldr_kl_rows(f, tensor({0}), lambdas, 0.1)).backward();
  CHECK(f.grad().defined());
  CHECK_FALSE(lambdas.grad().defined());
}
