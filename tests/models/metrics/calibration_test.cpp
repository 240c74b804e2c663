// Calibration errors and proper scores: worked numbers, bin edges, perfect and constant predictions.
#include "models/metrics/calibration.h"

#include <doctest/doctest.h>

#include <cmath>

using namespace plumb;
using namespace plumb::metrics;

namespace {
Tensor six_rows() { return tensor({{0.91, 0.09}, {0.82, 0.18}, {0.32, 0.68}, {0.55, 0.45}, {0.04, 0.96}, {0.65, 0.35}}, f64); }
Tensor six_labels() { return tensor({0, 1, 1, 0, 1, 1}); }
}  // namespace

TEST_CASE("calibration: six predictions worked out independently") {
  Tensor p = six_rows(), labels = six_labels();
  CHECK(negative_log_likelihood(p, labels) == doctest::Approx(0.647209).epsilon(1e-6));
  CHECK(expected_calibration_error(p, labels, 10) == doctest::Approx(0.288333).epsilon(1e-5));
  Tensor confidence = tensor({0.91, 0.82, 0.68, 0.55, 0.96, 0.65}, f64), correct = tensor({1, 0, 1, 1, 1, 0});
  RiskCoverage r = risk_coverage(confidence, correct);
  std::vector<double> risk{0, 0, 1.0 / 3, 0.25, 0.4, 1.0 / 3};
  for (size_t i = 0; i < 6; ++i) CHECK(r.risk[i] == doctest::Approx(risk[i]));
  CHECK(r.area == doctest::Approx(0.219444).epsilon(1e-5));
  CHECK(r.excess == doctest::Approx(0.130556).epsilon(1e-5));
  CHECK(brier_score(p, labels) ==
        doctest::Approx(2 * (0.09 * 0.09 + 0.82 * 0.82 + 0.32 * 0.32 + 0.45 * 0.45 + 0.04 * 0.04 + 0.65 * 0.65) / 6));
}

TEST_CASE("calibration bins: (low, high], 0 in the first, means and counts") {
  auto bins = calibration_bins(tensor({0.0, 0.25, 0.26, 0.5, 1.0}, f64), tensor({0, 1, 1, 0, 1}), 4);
  REQUIRE(bins.size() == 4);
  CHECK(bins[0].count == 2);
  CHECK(bins[1].count == 2);
  CHECK(bins[2].count == 0);
  CHECK(bins[3].count == 1);
  CHECK(bins[1].low == 0.25);
  CHECK(bins[1].high == 0.5);
  CHECK(bins[0].confidence == doctest::Approx(0.125));
  CHECK(bins[0].accuracy == doctest::Approx(0.5));
  CHECK(expected_calibration_error(bins) == doctest::Approx((2 * 0.375 + 2 * std::abs(0.5 - 0.38) + 0) / 5));
  CHECK(maximum_calibration_error(bins) == doctest::Approx(0.375));
  CHECK(std::isnan(expected_calibration_error(calibration_bins(zeros({0}), zeros({0}), 4))));
}

TEST_CASE("calibration: certain and right is perfect, certain and wrong the worst") {
  Tensor sure = tensor({{1.0, 0.0}, {0.0, 1.0}}), labels = tensor({0, 1}), wrong = tensor({1, 0});
  CHECK(expected_calibration_error(sure, labels) == 0);
  CHECK(brier_score(sure, labels) == 0);
  CHECK(negative_log_likelihood(sure, labels) == 0);
  CHECK(expected_calibration_error(sure, wrong) == 1);
  CHECK(brier_score(sure, wrong) == 2);
  CHECK(negative_log_likelihood(sure, wrong) == doctest::Approx(-std::log(1e-12)));
  CHECK(top_label_bins(tensor({{0.5, 0.5}}), tensor({0}), 2)[0].accuracy == 1);  // of equal ones the lowest class
}

TEST_CASE("risk coverage: the best order has no excess") {
  RiskCoverage best = risk_coverage(tensor({0.9, 0.8, 0.7, 0.6}), tensor({1, 1, 0, 0}));
  CHECK(best.excess == doctest::Approx(0).epsilon(1e-12));
  CHECK(best.area == doctest::Approx((1.0 / 3 + 0.5) / 4));
  CHECK(risk_coverage(tensor({0.9, 0.8}), tensor({0, 1})).excess == doctest::Approx((1 + 0.5) / 2 - 0.25));
}

TEST_CASE("calibration: bad input is named") {
  CHECK_THROWS_WITH_AS(calibration_bins(tensor({0.5, 1.5}), tensor({0, 1})), "calibration_bins: number 1 is 1.5, not a probability",
                       ValueError);
  CHECK_THROWS_WITH_AS(calibration_bins(tensor({0.5}), tensor({0}), 0), "calibration_bins: needs at least 1 bin, got 0", ValueError);
  CHECK_THROWS_WITH_AS(expected_calibration_error(six_rows(), tensor({0, 1, 2, 0, 1, 1})),
                       "expected_calibration_error: label 2 is outside [0, 2)", IndexError);
  CHECK_THROWS_WITH_AS(brier_score(zeros({3}), zeros({3}, i64)), "brier_score: takes probabilities [n, C] and labels [n], got [3] and [3]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(risk_coverage(zeros({0}), zeros({0})), "risk_coverage: there are no examples", ValueError);
}

TEST_CASE("calibration report: the six predictions once more, all measures together") {
  CalibrationReport r = calibration_report(six_rows(), six_labels());
  CHECK(r.error == doctest::Approx(2.0 / 6));
  CHECK(r.nll == doctest::Approx(.647209).epsilon(2e-6));
  CHECK(r.ece == doctest::Approx(.288333).epsilon(2e-6));
  CHECK(r.aurc == doctest::Approx(.219444).epsilon(3e-6));
  CHECK(r.aurc - r.excess_aurc == doctest::Approx(.0888889).epsilon(1e-6));  // of an order with both errors last
  CHECK_THROWS_AS(calibration_report(zeros({0, 2}), zeros({0}, i64)), ValueError);
}
