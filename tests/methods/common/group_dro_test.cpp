// Group DRO: weights and gradient by hand, groups that are absent, mistakes.
#include "methods/common/group_dro.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/backward.h"

using namespace plumb;
using methods::GroupDro;

TEST_CASE("group_dro: weights move by e^{ηL} and the loss is their mean of the groups' means") {
  GroupDro dro(2, 0.5);
  Tensor losses = tensor({1.0, 3.0, 0.5}, f64).requires_grad_(), groups = tensor({0, 0, 1});
  Tensor loss = dro.loss(losses, groups);
  double q0 = std::exp(0.5 * 2), q1 = std::exp(0.5 * 0.5), q = q0 / (q0 + q1);
  CHECK(dro.weights()[0] == doctest::Approx(q));
  CHECK(loss.item() == doctest::Approx(2 * q + 0.5 * (1 - q)));
  loss.backward();
  std::vector<double> slope = to_vector(losses.grad());
  CHECK(slope[0] == doctest::Approx(q / 2));
  CHECK(slope[2] == doctest::Approx(1 - q));
}

TEST_CASE("group_dro: a group that is absent keeps its weight relative to the others that did not move") {
  GroupDro dro(3, 1);
  dro.loss(tensor({2.0}), tensor({1}));
  CHECK(dro.weights()[0] == doctest::Approx(dro.weights()[2]));
  CHECK(dro.weights()[1] == doctest::Approx(std::exp(2) / (std::exp(2) + 2)));
  GroupDro equal(2, 0);
  CHECK(equal.loss(tensor({4.0, 2.0}), tensor({0, 1})).item() == doctest::Approx(3));
}

TEST_CASE("group_dro: mistakes are named") {
  GroupDro dro(2);
  CHECK_THROWS_WITH_AS(dro.loss(tensor({1.0}), tensor({2})), "group_dro: group 2 is outside [0, 2)", IndexError);
  CHECK_THROWS_WITH_AS(dro.loss(tensor({1.0, 2.0}), tensor({1})), "group_dro: takes losses and groups of one length, got [2] and [1]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(GroupDro(0), "group_dro: needs at least one group, not 0", ValueError);
}
