// Fairness gaps: two worked tables, undefined rates, perfect and constant decisions.
#include "models/metrics/fairness.h"

#include <doctest/doctest.h>

#include <cmath>

using namespace plumb;
using namespace plumb::metrics;

namespace {
Tensor groups() { return tensor({1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0}); }
Tensor labels() { return tensor({1, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0}); }
Tensor probabilities() { return tensor({0.9, 0.8, 0.4, 0.7, 0.3, 0.2, 0.8, 0.3, 0.6, 0.4, 0.2, 0.1}, f64); }
Tensor decisions() { return tensor({1, 1, 0, 1, 0, 0, 1, 0, 1, 0, 0, 0}); }
}  // namespace

TEST_CASE("group_rates: twelve people in two groups, worked out independently") {
  auto g = group_rates(decisions(), labels(), groups());
  REQUIRE(g.size() == 2);
  CHECK(g[0].group == 0);
  CHECK(g[0].base_rate == doctest::Approx(1.0 / 3));
  CHECK(g[0].selection_rate == doctest::Approx(1.0 / 3));
  CHECK(g[0].precision == doctest::Approx(0.5));
  CHECK(g[0].false_positive_rate == doctest::Approx(0.25));
  CHECK(g[0].true_positive_rate == doctest::Approx(0.5));
  CHECK(g[1].base_rate == doctest::Approx(0.5));
  CHECK(g[1].precision == doctest::Approx(2.0 / 3));
  CHECK(g[1].false_positive_rate == doctest::Approx(1.0 / 3));
  CHECK(g[1].true_positive_rate == doctest::Approx(2.0 / 3));
  CHECK(g[1].accuracy == doctest::Approx(4.0 / 6));
  CHECK(demographic_parity_gap(g) == doctest::Approx(1.0 / 6));
  CHECK(equal_opportunity_gap(g) == doctest::Approx(1.0 / 6));
  CHECK(equalized_odds_gap(g) == doctest::Approx(1.0 / 6));
  CHECK(predictive_parity_gap(g) == doctest::Approx(1.0 / 6));
  CHECK(disparate_impact(g) == doctest::Approx(2.0 / 3));
  CHECK(worst_group_accuracy(g) == doctest::Approx(4.0 / 6));
  for (const GroupRates& r : g)  // Chouldechova's identity holds for counts
    CHECK(r.false_positive_rate ==
          doctest::Approx(r.base_rate / (1 - r.base_rate) * (1 - r.precision) / r.precision * r.true_positive_rate));
}

TEST_CASE("group_rates: six scores cut at one half") {
  Tensor a = tensor({1, 1, 1, 0, 0, 0}), y = tensor({1, 1, 0, 1, 0, 0}), h = tensor({true, true, false, true, false, false});
  auto g = group_rates(h, y, a);
  CHECK(demographic_parity_gap(g) == doctest::Approx(1.0 / 3));
  CHECK(equal_opportunity_gap(g) == 0);
  CHECK(disparate_impact(g) == doctest::Approx(0.5));
}

TEST_CASE("fairness: perfect decisions differ as base rates do; what is undefined is NaN, never 0") {
  auto perfect = group_rates(labels(), labels(), groups());
  CHECK(demographic_parity_gap(perfect) == doctest::Approx(0.5 - 1.0 / 3));
  CHECK(equalized_odds_gap(perfect) == 0);
  auto none = group_rates(zeros({12}, i64), labels(), groups());
  CHECK(demographic_parity_gap(none) == 0);
  CHECK(equalized_odds_gap(none) == 0);
  CHECK(std::isnan(predictive_parity_gap(none)));
  CHECK(std::isnan(disparate_impact(none)));
  auto everyone = group_rates(ones({12}, i64), labels(), groups());
  CHECK(everyone[0].precision == doctest::Approx(everyone[0].base_rate));
  auto three = group_rates(tensor({0, 1, 1}), tensor({0, 1, 0}), tensor({4, 9, 7}));
  CHECK(three[1].group == 7);
  CHECK(std::isnan(equal_opportunity_gap(three)));  // group 4 has no positives
  CHECK(worst_group_accuracy(three) == 0);
}

TEST_CASE("group_probabilities and the inequality of benefits: worked out independently") {
  auto g = group_probabilities(probabilities(), labels(), groups());
  CHECK(g[0].calibration_gap == doctest::Approx(-0.0666667).epsilon(1e-5));
  CHECK(g[1].calibration_gap == doctest::Approx(-0.05));
  CHECK(g[1].mean_positives == doctest::Approx(0.7));
  CHECK(g[1].mean_negatives == doctest::Approx(0.4));
  CHECK(g[0].mean == doctest::Approx(0.4));
  Inequality i = benefit_inequality(decisions(), labels());
  CHECK(i.generalized_entropy == doctest::Approx(0.166667).epsilon(1e-5));
  CHECK(i.theil == doctest::Approx(0.231049).epsilon(1e-5));
  CHECK(benefit_inequality(labels(), labels()).theil == 0);
}

TEST_CASE("fairness: bad input is named") {
  CHECK_THROWS_WITH_AS(group_rates(tensor({0, 2}), tensor({0, 1}), tensor({0, 1})),
                       "group_rates: decision 1 must be 0 or 1, it is 2", ValueError);
  CHECK_THROWS_WITH_AS(group_rates(tensor({0, 1}), tensor({0, 1}), tensor({0})),
                       "group_rates: takes vectors of one length, got [2] and [1]", ShapeError);
  CHECK_THROWS_WITH_AS(group_probabilities(tensor({1.5}), tensor({0}), tensor({0})), "group_probabilities: probability 0 is 1.5",
                       ValueError);
  CHECK_THROWS_WITH_AS(group_rates(zeros({0}), zeros({0}), zeros({0})), "group_rates: there are no examples", ValueError);
}
