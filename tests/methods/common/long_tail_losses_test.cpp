// Adjusted logits, margins and late weights: worked numbers, what must not matter, mistakes.
#include "methods/common/long_tail_losses.h"

#include <doctest/doctest.h>

#include <cmath>

#include "ops/gradcheck.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "tests/methods/check_close.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("long-tail losses: the logarithm of the prior, with every exponent") {
  check_close(log_prior({100, 10}, -0.5), {-2.30259, -1.15129});
  CHECK(to_vector(log_prior({100, 10, 1}, -0.5))[2] == doctest::Approx(1e-9).epsilon(1e-6));
  check_close(log_prior({100, 10}, 1), {4.60517, 2.30259});
  check_close(log_prior({100, 10}, 2.5), {11.5129, 5.75646}, 5e-6);
  CHECK(to_vector(log_prior({100, 0}, 1))[1] == doctest::Approx(std::log(1e-9)));  // a class that is not there is ruled out, not refused
}

TEST_CASE("long-tail losses: the adjusted cross-entropy and its gradient, one row worked out for each exponent") {
  struct Case {
    double lambda, of_last, of_first;
    std::vector<double> gradient;  // of the last class's loss
  };
  for (const Case& c : {Case{-0.5, .584002, 1.88659, {.151588, .290749, -.442338}}, Case{0, 1.68027, .680270, {}},
                        Case{1, 5.66752, .0623472, {.939557, .0569870, -.996544}}, Case{2.5, 12.5148, .00191985, {}}}) {
    CAPTURE(c.lambda);
    Tensor prior = log_prior({100, 10, 1}, c.lambda), v = tensor({{1.0, 0.5, 0.0}}, f64).requires_grad_();
    Tensor loss = prior_adjusted_cross_entropy(v, tensor({2}), prior);
    CHECK(loss.item() == doctest::Approx(c.of_last).epsilon(4e-6));
    CHECK(prior_adjusted_cross_entropy(v, tensor({0}), prior).item() == doctest::Approx(c.of_first).epsilon(4e-6));
    loss.backward();
    if (!c.gradient.empty()) check_close(v.grad(), c.gradient, 3e-6);
  }
}

TEST_CASE("long-tail losses: all counts times a constant, or a constant more in the prior, change nothing") {
  Generator g(1);
  Tensor z = randn({6, 3}, {.dtype = f64, .generator = &g}), y = tensor({0, 1, 2, 0, 1, 2});
  auto with = [&](const std::vector<int64_t>& counts) {
    Tensor v = plumb::clone(z).requires_grad_();
    Tensor loss = prior_adjusted_cross_entropy(v, y, log_prior(counts, 2.5));
    loss.backward();
    return std::pair{loss.item(), to_vector(v.grad())};
  };
  auto [loss, gradient] = with({100, 10, 1});
  auto [scaled_loss, scaled_gradient] = with({700, 70, 7});
  CHECK(scaled_loss == doctest::Approx(loss).epsilon(1e-6));
  for (size_t i = 0; i < gradient.size(); ++i) CHECK(std::abs(scaled_gradient[i] - gradient[i]) < 1e-6);
  CHECK(prior_adjusted_cross_entropy(z, y, log_prior({50, 50, 50}, 2)).item() ==
        doctest::Approx(cross_entropy(z, y).item()).epsilon(1e-12));
}

TEST_CASE("long-tail losses: margins of LDAM by hand, and its loss") {
  check_close(ldam_margins({16, 81, 1}, 0.5), {0.25, 0.5 / 3, 0.5}, 1e-12);
  Tensor z = tensor({{3.0, 1.0}, {0.5, 2.0}}, f64), y = tensor({0, 1}), m = tensor({0.1, 0.4}, f64);
  // Logits 3 − 10 · 0.1 and 1; 0.5 and 2 − 10 · 0.4.
  double wanted = (std::log1p(std::exp(1.0 - 2.0)) + std::log1p(std::exp(0.5 + 2.0))) / 2;
  CHECK(ldam_loss(z, y, m, 10).item() == doctest::Approx(wanted).epsilon(1e-12));
  double weighted = (3 * std::log1p(std::exp(-1.0)) + std::log1p(std::exp(2.5))) / 4;
  CHECK(ldam_loss(z, y, m, 10, tensor({3.0, 1.0}, f64)).item() == doctest::Approx(weighted).epsilon(1e-12));
  CHECK(ldam_loss(z, y, zeros({2}, f64), 10).item() == cross_entropy(z, y).item());
  auto loss = [&](const Tensor& x) { return ldam_loss(x, y, m, 10); };
  CHECK(gradcheck(loss, {z}).passed);
}

TEST_CASE("long-tail losses: weights are deferred") {
  CHECK_FALSE(deferred_weights({2, 1}, 9, 10, 0.5).defined());
  check_close(deferred_weights({2, 1}, 10, 10, 0.5), {0.8, 1.2}, 1e-6);
}

TEST_CASE("long-tail losses: mistakes are named") {
  CHECK_THROWS_WITH_AS(log_prior({5, 0}, -0.5), "log_prior: class 1 has no examples; -0.5 as exponent needs some", ValueError);
  CHECK_THROWS_WITH_AS(log_prior({5, -1}), "log_prior: class 1 has -1 examples", ValueError);
  CHECK_THROWS_WITH_AS(log_prior({}), "log_prior: there are no classes", ValueError);
  CHECK_THROWS_WITH_AS(log_prior({5}, INFINITY), "log_prior: the exponent must be finite, it is inf", ValueError);
  Tensor z = zeros({2, 3}), y = tensor({0, 1});
  CHECK_THROWS_WITH_AS(prior_adjusted_cross_entropy(z, y, log_prior({5, 1})),
                       "prior_adjusted_cross_entropy: logits [2, 3] must be [B, C] with a number for each class, there are [2]",
                       ShapeError);
  CHECK_THROWS_AS(prior_adjusted_cross_entropy(z, tensor({0, 3}), log_prior({5, 1, 1})), IndexError);
  CHECK_THROWS_WITH_AS(ldam_margins({3, 0}), "ldam_margins: class 1 has no examples", ValueError);
  CHECK_THROWS_WITH_AS(ldam_margins({3}, 0), "ldam_margins: the largest margin must be positive, it is 0", ValueError);
  CHECK_THROWS_AS(ldam_loss(z, tensor({0, 3}), ldam_margins({3, 1, 1})), IndexError);
  CHECK_THROWS_AS(ldam_loss(z, tensor({0}), ldam_margins({3, 1, 1})), ShapeError);
}
