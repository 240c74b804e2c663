// Penalties between environments against plain loops and by hand.
#include "methods/common/domain_penalties.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/backward.h"
#include "ops/gradcheck.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("irm_penalty: the squared derivative of the loss in a scale of the logits") {
  manual_seed(3);
  Tensor z = randn({6, 4}, {.dtype = f64}), y = tensor({0, 1, 2, 3, 0, 2});
  auto derivative = [&](auto loss) {
    Tensor s = ones({}, f64).requires_grad_();
    double d = grad({loss(s)}, {s})[0].item();
    return d * d;
  };
  CHECK(irm_penalty(z, y).item() == doctest::Approx(derivative([&](const Tensor& s) { return cross_entropy(z * s, y); })).epsilon(1e-12));
  Tensor one = randn({6}, {.dtype = f64}), binary = tensor({1, 0, 0, 1, 1, 1});
  double expected = derivative([&](const Tensor& s) { return binary_cross_entropy_with_logits(one * s, to(binary, f64)); });
  CHECK(irm_penalty(one, binary).item() == doctest::Approx(expected).epsilon(1e-12));
  CHECK(irm_penalty(unsqueeze(one, 1), binary).item() == doctest::Approx(expected).epsilon(1e-12));
  gradcheck([&](const Tensor& x) { return irm_penalty(x, y); }, {z}).throw_if_failed();
  CHECK_THROWS_WITH_AS(irm_penalty(z, tensor({1, 2})), "irm_penalty: takes logits [n, C] or [n] and labels [n], got [6, 4] and [2]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(irm_penalty(zeros({0, 3}), zeros({0}, i64)), "irm_penalty: the environment's batch is empty", ValueError);
}

TEST_CASE("vrex_penalty: the variance of the losses, a quarter of the squared difference of two") {
  Tensor a = tensor({0.7}, f64), b = tensor({0.4}, f64), c = tensor({0.1}, f64);
  CHECK(vrex_penalty({a, b}).item() == doctest::Approx(0.09 / 4).epsilon(1e-12));
  CHECK(vrex_penalty({a, b, c}).item() == doctest::Approx(0.18 / 3).epsilon(1e-12));
  CHECK(vrex_penalty({a}).item() == 0);
  CHECK_THROWS_WITH_AS(vrex_penalty({}), "vrex_penalty: there are no environments", ValueError);
}

TEST_CASE("fishr_penalty: squared distances of variances from their mean, summed") {
  Tensor a = tensor({1.0, 2.0}, f64), b = tensor({3.0, 2.5}, f64), c = tensor({2.0, 0.0}, f64);
  // means (2, 1.5): 1 + 0.25, 1 + 1, 0 + 2.25
  CHECK(fishr_penalty({a, b, c}).item() == doctest::Approx(5.5).epsilon(1e-12));
  CHECK(fishr_penalty({a}).item() == 0);
  CHECK_THROWS_WITH_AS(fishr_penalty({}), "fishr_penalty: there are no environments", ValueError);
  CHECK_THROWS_AS(fishr_penalty({a, zeros({3}, f64)}), ShapeError);
}

TEST_CASE("coral_penalty: means and covariances by hand, over pairs") {
  Tensor a = tensor({{1.0, 0.0}, {3.0, 4.0}}, f64);              // mean (2, 2), covariance [[2, 4], [4, 8]]
  Tensor b = tensor({{0.0, 1.0}, {2.0, 1.0}, {1.0, 4.0}}, f64);  // mean (1, 2), covariance [[1, 0], [0, 3]]
  // means: (1 + 0) / 2; covariances: (1 + 16 + 16 + 25) / 4
  CHECK(coral_penalty({a, b}).item() == doctest::Approx(15).epsilon(1e-12));
  CHECK(coral_penalty({a, b, a}).item() == doctest::Approx(10).epsilon(1e-12));  // two pairs of three differ
  CHECK(coral_penalty({a}).item() == 0);
  CHECK(coral_penalty({a, a}).item() == 0);
  gradcheck([&](const Tensor& x) { return coral_penalty({x, b}); }, {a}).throw_if_failed();
  CHECK_THROWS_WITH_AS(coral_penalty({}), "coral_penalty: there are no environments", ValueError);
  CHECK_THROWS_WITH_AS(coral_penalty({a, zeros({3, 4}, f64)}), "coral_penalty: takes features [n, d] with one d, got [2, 2] and [3, 4]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(coral_penalty({a, zeros({1, 2}, f64)}),
                       "coral_penalty: a covariance needs at least 2 examples, an environment has 1", ValueError);
}

TEST_CASE("PenaltyAnneal: weight 1, then the full weight with the objective divided by it") {
  PenaltyAnneal anneal{.start = 10, .weight = 1e4};
  Tensor loss = tensor({3.0}, f64), penalty = tensor({0.5}, f64);
  CHECK(anneal(loss, penalty, 9).item() == doctest::Approx(3.5).epsilon(1e-12));
  CHECK(anneal(loss, penalty, 10).item() == doctest::Approx(3e-4 + 0.5).epsilon(1e-12));
  anneal.rescale = false;
  CHECK(anneal(loss, penalty, 10).item() == doctest::Approx(5003).epsilon(1e-12));
  CHECK_THROWS_WITH_AS((PenaltyAnneal{.start = -1, .weight = 2}.check()), "penalty: start -1 and weight 2 must not be negative",
                       ValueError);
}
