// Decoupled Mixup: the worked examples, what the excluded class may not do, limits, the rival BCE form, bad input and the experiment.
#include "methods/regularization/decoupled_mixup/decoupled_mixup.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/core/error.h"
#include "methods/runner.h"
#include "ops/gradcheck.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "tests/methods/check_close.h"
#include "tests/methods/measured.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::decoupled_mixup;

namespace plumb::methods::decoupled_mixup {
Experiment experiment();
}

namespace {

Tensor example() { return tensor({{2.0, 1.0, 0.0, -1.0}}, f64); }

double loss_of(const Tensor& z, const DecoupledMixupOptions& options, double lambda = 0.7, int64_t a = 0, int64_t b = 1) {
  return decoupled_mixup_loss(z, from_vector(std::vector{a}), from_vector(std::vector{b}), lambda, options).item();
}

Tensor gradient_of(const DecoupledMixupOptions& options) {
  Tensor z = example().requires_grad_();
  decoupled_mixup_loss(z, tensor({0}), tensor({1}), 0.7, options).backward();
  return z.grad();
}

}  // namespace

TEST_CASE("decoupled mixup: the worked losses") {
  Tensor z = example();
  check_close(softmax(z, 1), {0.643914, 0.236883, 0.0871443, 0.0320586});
  CHECK(loss_of(z, {.eta = 0}) == doctest::Approx(0.740190).epsilon(2e-6));
  CHECK(std::exp(decoupled_log_prob(z, tensor({0}), tensor({1})).item()) == doctest::Approx(0.843795).epsilon(2e-6));
  CHECK(std::exp(decoupled_log_prob(z, tensor({1}), tensor({0})).item()) == doctest::Approx(0.665241).epsilon(2e-6));
  CHECK(loss_of(z, {.eta = 1}) - loss_of(z, {.eta = 0}) == doctest::Approx(0.577452).epsilon(2e-6));
  CHECK(loss_of(z, {}) == doctest::Approx(0.797935).epsilon(2e-6));
  CHECK(loss_of(z, {.exponent = 1}) == doctest::Approx(0.764307).epsilon(2e-6));
  CHECK(loss_of(z, {.eta = 0.01, .exponent = 0.5, .terms = Terms::more}) == doctest::Approx(0.741611).epsilon(2e-6));
}

TEST_CASE("decoupled mixup: the worked gradients, each summing to 0") {
  Tensor mce = gradient_of({.eta = 0}), both = gradient_of({.eta = 1}), usual = gradient_of({});
  check_close(mce, {-0.0560857, -0.0631172, 0.0871443, 0.0320586});
  check_close(both - mce, {-0.156205, -0.334759, 0.358924, 0.132041}, 4e-6);
  check_close(usual, {-0.0717063, -0.0965931, 0.123037, 0.0452627}, 4e-6);
  for (const Tensor& g : {mce, both, usual}) CHECK(std::abs(sum(g).item()) < 1e-12);
}

TEST_CASE("decoupled mixup: DM(BCE) rescales its targets") {
  Tensor z = example(), a = tensor({0}), b = tensor({1});
  auto bce = [&](double t, double xi) { return mixup_bce_loss(z, a, b, 0.7, {.threshold = t, .exponent = xi}).item(); };
  CHECK(bce(1, 1) == doctest::Approx(0.686650).epsilon(2e-6));
  CHECK(bce(0.5, 1) == doctest::Approx(0.461650).epsilon(2e-6));
  CHECK(bce(1, 0.8) == doctest::Approx(0.640351).epsilon(2e-6));
  CHECK(rescale_lambda(0.7, 1, 0.8) == doctest::Approx(0.751759).epsilon(2e-6));
  CHECK(rescale_lambda(0.3, 1, 0.8) == doctest::Approx(0.381678).epsilon(2e-6));
  CHECK(rescale_lambda(0.3, 0.5, 1) == doctest::Approx(0.6).epsilon(1e-14));
  CHECK(rescale_lambda(0.7, 0.5, 1) == 1);
  // a = b: both terms add up on one class, at most to 1.
  CHECK(mixup_bce_loss(z, a, a, 0.7, {.threshold = 0.5}).item() == doctest::Approx(mixup_bce_loss(z, a, a, 1.0).item()).epsilon(1e-14));
}

TEST_CASE("decoupled mixup: eta 0 is mixup's cross-entropy exactly, and with two classes nothing is decoupled") {
  Generator g(1);
  Tensor z = randn({16, 5}, {.generator = &g}), a = randint(0, 5, {16}, {.dtype = i64, .generator = &g});
  Tensor b = randint(0, 5, {16}, {.dtype = i64, .generator = &g}), lambda = rand({16}, {.generator = &g});
  CHECK(decoupled_mixup_loss(z, a, b, lambda, {.eta = 0}).item() == mixed_cross_entropy(z, {a, b, lambda}).item());

  Tensor two = tensor({{3.0, -2.0}, {0.5, 4.0}}, f64).requires_grad_(), first = tensor({0, 1}), second = tensor({1, 0});
  check_close(decoupled_log_prob(two, first, second), {0, 0});
  Tensor with = decoupled_mixup_loss(two, first, second, 0.3, {.eta = 5}),
         without = decoupled_mixup_loss(two, first, second, 0.3, {.eta = 0});
  CHECK(with.item() == without.item());
  with.backward();
  for (double v : to_vector(two.grad())) CHECK(std::isfinite(v));
}

TEST_CASE("decoupled mixup: a pair of one class, or a share of 0 or 1, is the cross-entropy alone") {
  Generator g(2);
  Tensor z = randn({1, 4}, {.dtype = f64, .generator = &g});
  for (int64_t label : {0, 3}) {
    double ce = cross_entropy(z, from_vector(std::vector{label})).item();
    for (double lambda : {0.0, 0.3, 0.5, 1.0})
      for (double eta : {0.0, 0.1, 7.0}) CHECK(loss_of(z, {.eta = eta}, lambda, label, label) == doctest::Approx(ce).epsilon(1e-12));
    CHECK(loss_of(z, {.eta = 7}, 1, label, 2) == doctest::Approx(ce).epsilon(1e-12));
    CHECK(loss_of(z, {.eta = 7}, 0, 2, label) == doctest::Approx(ce).epsilon(1e-12));
  }
  // Beside pairs of two classes it is one example among them, not a mean of its own.
  Tensor logits = randn({3, 4}, {.dtype = f64, .generator = &g}), a = tensor({0, 2, 1}), b = tensor({1, 2, 3});
  auto rows = to_vector(decoupled_mixup_loss(logits, a, b, 0.4, {}, Reduction::none));
  CHECK(decoupled_mixup_loss(logits, a, b, 0.4).item() == doctest::Approx((rows[0] + rows[1] + rows[2]) / 3).epsilon(1e-14));
  CHECK(decoupled_mixup_loss(logits, a, b, 0.4, {}, Reduction::sum).item() == doctest::Approx(rows[0] + rows[1] + rows[2]).epsilon(1e-14));
  CHECK(rows[1] == doctest::Approx(cross_entropy(slice(logits, 0, 1, 2), tensor({2})).item()).epsilon(1e-12));
}

TEST_CASE("decoupled mixup: swapping the pair with its shares changes nothing") {
  Generator g(3);
  Tensor z = randn({6, 5}, {.dtype = f64, .generator = &g}), a = tensor({0, 1, 2, 3, 4, 0}), b = tensor({4, 3, 2, 1, 0, 1});
  std::vector<DecoupledMixupOptions> forms{{}, {.exponent = 1}, {.exponent = 0.5, .terms = Terms::more}, {.terms = Terms::less}};
  for (const DecoupledMixupOptions& o : forms)
    CHECK(decoupled_mixup_loss(z, a, b, 0.3, o).item() == doctest::Approx(decoupled_mixup_loss(z, b, a, 0.7, o).item()).epsilon(1e-13));
}

TEST_CASE("decoupled mixup: the terms that count go by the larger share, whatever the classes' numbers") {
  Tensor z = example();
  double mce = loss_of(z, {.eta = 0}, 0.5);
  double a = -decoupled_log_prob(z, tensor({0}), tensor({1})).item(), b = -decoupled_log_prob(z, tensor({1}), tensor({0})).item();
  CHECK(loss_of(z, {.eta = 1, .terms = Terms::more}, 0.5) - mce == doctest::Approx(a).epsilon(1e-10));
  CHECK(loss_of(z, {.eta = 1, .terms = Terms::less}, 0.5) - mce == doctest::Approx(b).epsilon(1e-10));
  CHECK(loss_of(z, {.eta = 1, .terms = Terms::more}, 0.2) - loss_of(z, {.eta = 0}, 0.2) == doctest::Approx(b).epsilon(1e-10));
  CHECK(loss_of(z, {.eta = 1, .terms = Terms::more}, 0.2, 1, 0) - loss_of(z, {.eta = 0}, 0.2, 1, 0) == doctest::Approx(a).epsilon(1e-10));
}

TEST_CASE("decoupled mixup: the excluded logit has no influence; shifts have none; extremes stay finite") {
  Tensor a = tensor({0}), b = tensor({1});
  Tensor z = example().requires_grad_();
  decoupled_log_prob(z, a, b).backward(ones({1}, f64));
  auto gradient = to_vector(z.grad());
  CHECK(gradient[1] == 0);
  CHECK(gradient[0] == doctest::Approx(1 - 0.843795).epsilon(1e-5));
  double before = decoupled_log_prob(example(), a, b).item();
  for (double other : {-1e4, -3.0, 50.0, 1e4}) {
    Tensor moved = example();
    moved.data<double>()[1] = other;
    CHECK(decoupled_log_prob(moved, a, b).item() == before);
  }
  CHECK(decoupled_log_prob(example() + 123.25, a, b).item() == doctest::Approx(before).epsilon(1e-12));
  for (auto make : {+[] { return tensor({{1e4, -1e4, 1e4, 0.0}}); }, +[] { return tensor({{-1e4, 1e4, 0.0, -1e4}}); }}) {
    Tensor extreme = make().requires_grad_();
    Tensor loss = decoupled_mixup_loss(extreme, a, b, 0.6);
    CHECK(std::isfinite(loss.item()));
    loss.backward();
    for (double v : to_vector(extreme.grad())) CHECK(std::isfinite(v));
  }
}

TEST_CASE("decoupled mixup: derivatives against differences, first and second") {
  Generator g(4);
  Tensor z = randn({5, 4}, {.dtype = f64, .generator = &g}), a = tensor({0, 1, 2, 3, 1}), b = tensor({1, 0, 2, 1, 3});
  Tensor lambda = tensor({0.3, 0.5, 0.8, 0.9, 0.6}, f64);
  auto loss = [&](const Tensor& x) { return decoupled_mixup_loss(x, a, b, lambda, {.eta = 0.7, .exponent = 0.5}); };
  CHECK_MESSAGE(gradcheck(loss, {z}).passed, gradcheck(loss, {z}).message);
  CHECK_MESSAGE(gradgradcheck(loss, {z}).passed, gradgradcheck(loss, {z}).message);
  auto bce = [&](const Tensor& x) { return mixup_bce_loss(x, a, b, lambda, {.threshold = 0.8}); };
  CHECK(gradcheck(bce, {z}).passed);
}

TEST_CASE("decoupled mixup: the larger eta, the more equal the two classes after 500 steps on free logits") {
  auto gap = [](double eta) {
    Tensor z = zeros({1, 3}, f64);
    for (int step = 0; step < 500; ++step) {
      Tensor leaf = z.requires_grad_();
      leaf.zero_grad();
      decoupled_mixup_loss(leaf, tensor({0}), tensor({1}), 0.7, {.eta = eta}).backward();
      z = (leaf.detach() - 0.1 / (1 + eta) * leaf.grad()).detach();
    }
    auto v = to_vector(z);
    CHECK(v[0] > v[2] + 3);
    CHECK(v[1] > v[2] + 3);
    return v[0] - v[1];
  };
  double plain = gap(0), weak = gap(1), strong = gap(10), strongest = gap(100);
  CHECK(plain == doctest::Approx(0.860911).epsilon(1e-5));  // these four from another program
  CHECK(weak == doctest::Approx(0.829007).epsilon(1e-5));
  CHECK(strong == doctest::Approx(0.627960).epsilon(1e-5));
  CHECK(strongest == doctest::Approx(0.134191).epsilon(1e-5));
}

TEST_CASE("decoupled mixup: unlabelled partners count where their guess is sure, and at their own share") {
  Tensor z = cat({example(), example()}), labels = tensor({0, 0}), guesses = tensor({1, 1});
  double own = 0.440190 /* −log p_0 */, other = 1.440190 /* −log p_1 */, decoupled = 0.577452;
  Tensor sure = tensor({0.99, 0.5}, f64);
  CHECK(semi_supervised_loss(z, labels, guesses, sure, 0.7).item() == doctest::Approx((own + 0.3 * other + decoupled) / 2).epsilon(3e-6));
  // With p_mix = 0 a guess as probable as 1 − λ is enough.
  CHECK(semi_supervised_loss(z, labels, guesses, sure, 0.7, {.mixed_threshold = 0}).item() ==
        doctest::Approx(own + 0.3 * other + decoupled).epsilon(3e-6));
  CHECK_THROWS_WITH_AS(semi_supervised_loss(z, labels, guesses, sure, 0.4), "semi_supervised_loss: lambda must lie in [0.5, 1], it is 0.4",
                       ValueError);
  CHECK_THROWS_WITH_AS(semi_supervised_loss(z, labels, guesses, tensor({0.5, 1.5}, f64), 0.7),
                       "semi_supervised_loss: a confidence must lie in [0, 1], one is 1.5", ValueError);
}

TEST_CASE("decoupled mixup: mistakes are named") {
  Tensor z = example(), a = tensor({0}), b = tensor({1});
  CHECK_THROWS_WITH_AS(decoupled_mixup_loss(z, a, b, 1.2), "decoupled_mixup: lambda must lie in [0, 1], number 0 is 1.2", ValueError);
  CHECK_THROWS_WITH_AS(decoupled_mixup_loss(z, a, b, -0.1), "decoupled_mixup: lambda must lie in [0, 1], number 0 is -0.1", ValueError);
  CHECK_THROWS_WITH_AS(decoupled_mixup_loss(z, a, b, 0.5, {.eta = -1}), "decoupled_mixup: eta must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(decoupled_mixup_loss(z, a, b, 0.5, {.threshold = 0}), "decoupled_mixup: the threshold must lie in (0, 1], it is 0",
                       ValueError);
  CHECK_THROWS_WITH_AS(decoupled_mixup_loss(z, a, tensor({4}), 0.5), "decoupled_mixup: label 4 is outside [0, 4)", IndexError);
  CHECK_THROWS_WITH_AS(decoupled_mixup_loss(z, tensor({0, 1}), b, 0.5), "decoupled_mixup: labels must be i64 [1], got [2]", ShapeError);
  CHECK_THROWS_WITH_AS(decoupled_log_prob(z, a, a), "decoupled_log_prob: row 0 excludes its target, class 0", ValueError);
  CHECK_THROWS_WITH_AS(mixup_bce_loss(z, a, b, 0.5, {.threshold = 1.5}), "mixup_bce: the threshold must lie in (0, 1], it is 1.5",
                       ValueError);
  CHECK_THROWS_WITH_AS(mixup_bce_loss(z, a, b, 2), "mixup_bce: lambda must lie in [0, 1], number 0 is 2", ValueError);
  CHECK_THROWS_WITH_AS(mixup_bce_loss(z, tensor({-1}), b, 0.5), "mixup_bce: label -1 is outside [0, 4)", IndexError);
  CHECK_THROWS_WITH_AS(rescale_lambda(1.5, 1, 1), "rescale_lambda: lambda must lie in [0, 1], it is 1.5", ValueError);
}

TEST_CASE("decoupled mixup: the experiment measures every variant at the smoke budget") {
  Results results =
      run_experiment({"regularization", "decoupled_mixup", &decoupled_mixup::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == decoupled_mixup::experiment().variants.size());
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    for (const char* labels : {"clean", "noisy"}) {
      double error = measured(results, cell.variant, std::string("test error, ") + labels + " labels (%)");
      CHECK((error > 0 && error < 60));  // far below the 90 of chance
      double both = measured(results, cell.variant, std::string("both classes found, ") + labels + " labels (%)");
      CHECK((both > 5 && both < 100));  // chance is 1 in 45
    }
  }
}
