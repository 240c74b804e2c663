// Margins and attacks on membership.
#include "models/metrics/margins.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/core/generator.h"
#include "ops/gradcheck.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "ops/softmax.h"

using namespace plumb;
using namespace plumb::metrics;

TEST_CASE("margin: worked example 1, and the logit of the true class's probability") {
  Tensor z = tensor({{2.0, 0.5, -1.0}, {0.0, 0.0, 0.0}, {1.0, 3.0, 0.0}}, f64), y = tensor({0, 1, 0});
  auto m = to_vector(margin(z, y)), p = to_vector(softmax(z, 1));
  CHECK(m[0] == doctest::Approx(1.298587).epsilon(1e-6));
  CHECK(m[1] == doctest::Approx(-0.693147).epsilon(1e-6));
  CHECK(m[2] == doctest::Approx(-2.048587).epsilon(1e-6));
  double py[3] = {p[0], p[4], p[6]};
  for (int i = 0; i < 3; ++i) CHECK(m[static_cast<size_t>(i)] == doctest::Approx(std::log(py[i] / (1 - py[i]))).epsilon(1e-12));
  // A leading dimension of models, large logits, a derivative.
  Tensor two = margin(expand(unsqueeze(z, 0), {2, 3, 3}), y);
  CHECK(two.shape() == Shape{2, 3});
  CHECK(margin(tensor({{1000.0, 0.0}}), tensor({0})).item() == 1000);
  CHECK(gradcheck([&](const Tensor& x) { return margin(x, y); }, {z}).passed);
}

TEST_CASE("margin attack: separated margins are told apart wholly, equal ones not at all") {
  CHECK(margin_attack(tensor({{3.0, 4.0}, {5.0, 6.0}}), tensor({{1.0, 2.0, 0.0}, {1.0, 2.0, 3.0}})) == 1);
  CHECK(margin_attack(tensor({{1.0, 2.0}}), tensor({{1.0, 2.0}})) == 0.5);
  // Thresholds are each model's own: the second model's margins are all larger.
  CHECK(margin_attack(tensor({{1.0}, {11.0}}), tensor({{0.0}, {10.0}})) == 1);
}

TEST_CASE("likelihood attack: ½ for models of one kind, near certainty for others far apart") {
  Generator g(2);
  Tensor a = randn({400, 5}, {.generator = &g}), b = randn({400, 5}, {.generator = &g});
  LikelihoodAttack same = likelihood_attack(a, b), apart = likelihood_attack(a + 6, b), wide = likelihood_attack(a * 5, b);
  CHECK(std::abs(same.accuracy - 0.5) < 0.05);  // of 2000 decisions: 0.011 is a standard error
  CHECK(std::abs(same.auc - 0.5) < 0.05);
  CHECK(apart.accuracy > 0.99);  // Φ(3) = 0.9987
  CHECK(apart.auc > 0.999);
  CHECK(wide.accuracy > 0.7);  // a threshold on margins sees nothing: the means are equal
  CHECK(std::abs(margin_attack(a * 5, b) - 0.5) < 0.05);
  CHECK(likelihood_attack(zeros({4, 2}), zeros({4, 2})).accuracy == 0.5);
}

TEST_CASE("margins: mistakes are named") {
  CHECK_THROWS_WITH_AS(margin(zeros({2, 3}), tensor({0})), "margin: logits [2, 3] and labels [1] must be [.., n, C] and [n]", ShapeError);
  CHECK_THROWS_WITH_AS(margin(zeros({1, 3}), tensor({3})), "margin: label 3 is outside [0, 3)", IndexError);
  CHECK_THROWS_WITH_AS(margin(zeros({1, 1}), tensor({0})), "margin: takes at least 2 classes, got 1", ValueError);
  CHECK_THROWS_WITH_AS(margin_attack(zeros({2, 3}), zeros({3, 3})),
                       "margin_attack: takes margins [N, ..] of N models each, got [2, 3] and [3, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(likelihood_attack(zeros({4, 3}), zeros({4, 2})), "likelihood_attack: margins [4, 3] and [4, 2] must have one shape",
                       ShapeError);
  CHECK_THROWS_WITH_AS(likelihood_attack(zeros({3, 3}), zeros({3, 3})), "likelihood_attack: takes at least 4 models, got 3", ValueError);
}
