// Membership by loss: a worked example, ties, nothing to tell, and mistakes.
#include "models/metrics/loss_attack.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "engine/core/error.h"

using namespace plumb;
using metrics::loss_threshold_attack;

TEST_CASE("loss_attack: the worked example") {
  auto attack = loss_threshold_attack(std::vector{.1, .2, .3, .9}, std::vector{.25, .6, .8, 1.2});
  CHECK(attack.advantage == doctest::Approx(.5));
  CHECK(attack.threshold == doctest::Approx(.2));  // .3 is as good, .2 comes first
  CHECK(attack.auc == doctest::Approx(.75));
}

TEST_CASE("loss_attack: equal losses tell nothing, and reversed ones no threshold") {
  std::vector<double> same{1, 2, 2, 5};
  auto equal = loss_threshold_attack(same, same);
  CHECK(equal.advantage == 0);
  CHECK(equal.auc == doctest::Approx(.5));
  auto reversed = loss_threshold_attack(std::vector{3., 4.}, std::vector{1., 2.});
  CHECK(reversed.advantage == 0);
  CHECK(reversed.threshold == -INFINITY);
  CHECK(reversed.auc == 0);
  auto told = loss_threshold_attack(std::vector{1., 2.}, std::vector{3., 4., 5.});
  CHECK(told.advantage == doctest::Approx(1));
  CHECK(told.auc == doctest::Approx(1));
}

TEST_CASE("loss_attack: resamples scatter about what was seen, and draw with replacement") {
  std::vector<double> members, others;
  Generator g(4);
  for (int i = 0; i < 200; ++i) members.push_back(g.next_double()), others.push_back(g.next_double() + .3);
  metrics::LossAttack attack(members, others);
  double seen = attack.attack().auc, mean = 0, squares = 0;
  for (int r = 0; r < 200; ++r) {
    double auc = attack.resampled(g).auc;
    mean += auc / 200, squares += (auc - seen) * (auc - seen) / 200;
  }
  CHECK(mean == doctest::Approx(seen).epsilon(.01));
  CHECK(std::sqrt(squares) > .01);  // about √(AUC (1 − AUC) / n)
  CHECK(std::sqrt(squares) < .05);
}

TEST_CASE("loss_attack: mistakes are named") {
  CHECK_THROWS_WITH_AS(loss_threshold_attack({}, std::vector{1.}), "loss_threshold_attack: needs losses of members and of others",
                       ValueError);
  CHECK_THROWS_WITH_AS(loss_threshold_attack(std::vector{1.}, std::vector{double(NAN)}), "loss_threshold_attack: a loss is NaN",
                       ValueError);
}
