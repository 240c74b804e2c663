// Group penalties against numbers worked out by hand and against differences.
#include "methods/common/group_fairness.h"

#include <doctest/doctest.h>

#include <cmath>

#include "models/metrics/fairness.h"
#include "ops/gradcheck.h"
#include "ops/pointwise.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("group fairness: penalties by hand") {
  Tensor q = tensor({0.9, 0.7, 0.4, 0.6, 0.3, 0.2}, f64), a = tensor({1, 1, 1, 0, 0, 0}), y = tensor({1, 1, 0, 1, 0, 0});
  CHECK(group_gap(q, a).item() == doctest::Approx(0.3));
  CHECK(demographic_parity_penalty(q, a).item() == doctest::Approx(0.09));
  CHECK(group_gap(q, a, y == 1).item() == doctest::Approx(0.2));
  CHECK(group_gap(q, a, y == 0).item() == doctest::Approx(0.15));
  CHECK(equalised_odds_penalty(q, y, a).item() == doctest::Approx(0.0625));
  std::vector<metrics::GroupRates> hard = metrics::group_rates(q >= 0.5, y, a);
  CHECK(metrics::demographic_parity_gap(hard) == doctest::Approx(1.0 / 3));
  CHECK(group_gap(to(q >= 0.5, f64), a).item() == doctest::Approx(1.0 / 3));
  CHECK(metrics::equal_opportunity_gap(hard) == 0);
  CHECK(metrics::disparate_impact(hard) == doctest::Approx(0.5));
  Tensor p = tensor({0.1, 0.2, 0.3, 0.4}, f64), distance = tensor({0.8, 0.6, 1.0, 0.9}, f64);
  CHECK(recourse_penalty(p, distance, tensor({1, 1, 0, 0})).item() == doctest::Approx(0.0625));
  CHECK(recourse_penalty(tensor({0.1, 0.9, 0.3, 0.4}, f64), distance, tensor({1, 1, 0, 0})).item() ==
        doctest::Approx(0.15 * 0.15));  // row 1 is accepted
  FairnessPenalty all{2, 3, 5};
  CHECK(all.value(p, distance, tensor({0, 1, 0, 1}), tensor({1, 1, 0, 0})).item() ==
        doctest::Approx(2 * 0.04 + 3 * (0.04 + 0.04) + 5 * 0.0625));
  CHECK(FairnessPenalty{}.value(p, {}, tensor({0, 1, 0, 1}), tensor({1, 1, 0, 0})).item() == 0);
  CHECK_FALSE(FairnessPenalty{}.any());
}

TEST_CASE("group fairness: calibration in the large of both groups") {
  Tensor q = tensor({0.9, 0.7, 0.4, 0.6, 0.3}, f64), a = tensor({1, 1, 1, 0, 0}), y = tensor({1, 1, 0, 0, 0});
  CHECK(calibration_penalty(q, y, a).item() == doctest::Approx(0 + 0.45 * 0.45));  // means of q − y: 0 and 0.45
  CHECK(calibration_penalty(q, y, ones({5}, i64)).item() == doctest::Approx(0.18 * 0.18));
  auto f = [&](const std::vector<Tensor>& x) -> std::vector<Tensor> { return {calibration_penalty(x[0], y, a)}; };
  CHECK(gradcheck(f, {q}).passed);
  CHECK_THROWS_WITH_AS(calibration_penalty(q, tensor({1, 1, 2, 0, 0}), a), "group fairness: the label of row 2 is 2, not 0 or 1",
                       ValueError);
}

TEST_CASE("group fairness: an empty cell weighs nothing") {
  Tensor q = tensor({0.9, 0.7, 0.4}, f64).requires_grad_();
  CHECK(test::same_bits(group_gap_weights(tensor({1, 1, 1}), {}, f64), zeros({3}, f64)));
  CHECK(test::same_bits(group_gap_weights(tensor({1, 0, 1}), tensor({true, false, true}), f64), zeros({3}, f64)));
  CHECK(test::same_bits(group_gap_weights(tensor({1.0, 0.0, 1.0}), tensor({true, true, false}), f64), tensor({1.0, -1.0, 0.0}, f64)));
  Tensor penalty = equalised_odds_penalty(q, tensor({1, 0, 1}), tensor({1, 0, 0}));  // y = 0 has group 0 alone
  CHECK(penalty.item() == doctest::Approx(0.25));
  penalty.backward();
  CHECK(test::difference(q.grad(), tensor({1.0, 0.0, -1.0}, f64)) < 1e-15);
  CHECK(group_gap(zeros({0}, f64), zeros({0}, i64)).item() == 0);
}

TEST_CASE("group fairness: derivatives match differences") {
  Tensor a = to(test::sample({20}, 1) > 0, i64), y = to(test::sample({20}, 2) > 0, i64), q = test::sample({20}, 3, f64, 0.02, 0.98);
  auto f = [&](const Tensor& q, const Tensor& r) { return FairnessPenalty{1, 2, 3}.value(q, r, y, a); };
  CHECK(gradcheck(f, {q, test::sample({20}, 4)}).message == "");
  CHECK(gradgradcheck(f, {q, test::sample({20}, 4)}).message == "");
}

TEST_CASE("group fairness: what cannot be is named") {
  Tensor q = zeros({3}), a = tensor({1, 0, 1});
  CHECK_THROWS_WITH_AS(demographic_parity_penalty(q, tensor({1, 0, 2})), "group fairness: the group of row 2 is 2, not 0 or 1", ValueError);
  CHECK_THROWS_WITH_AS(demographic_parity_penalty(q, tensor({0.5, 0.0, 1.0})), "group fairness: the group of row 0 is 0.5, not 0 or 1",
                       ValueError);
  CHECK_THROWS_WITH_AS(equalised_odds_penalty(q, tensor({0, -1, 1}), a), "group fairness: the label of row 1 is -1, not 0 or 1",
                       ValueError);
  CHECK_THROWS_WITH_AS(demographic_parity_penalty(q, tensor({1, 0})), "group fairness: the group [2] should be [3]", ShapeError);
  CHECK_THROWS_WITH_AS(group_gap(zeros({3, 1}), a), "group fairness: the values should be a vector [B], it is [3, 1]", ShapeError);
  CHECK_THROWS_WITH_AS(recourse_penalty(q, zeros({2}), a), "group fairness: the distances [2] should be [3]", ShapeError);
  CHECK_THROWS_WITH_AS((FairnessPenalty{.eo = NAN}.check()), "group fairness: the weight eo must be finite and not negative, it is nan",
                       ValueError);
}
