// Lags and targets of a series: their order, missing values, gaps, scaling.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "engine/core/error.h"
#include "engine/data/lag_windows.h"

using namespace plumb;

namespace {
constexpr double kGap = std::numeric_limits<double>::quiet_NaN();
}

TEST_CASE("lag windows: the newest value first, n - p - h + 1 rows, in both types") {
  Tensor y = tensor({1.0, 2.0, 3.0, 4.0, 5.0, 6.0}, f64);
  data::LagMatrix m = data::make_lag_matrix(y, 3, 2);
  CHECK(m.rows() == 6 - 3 - 2 + 1);
  CHECK(to_vector(m.inputs) == std::vector<double>{3, 2, 1, 4, 3, 2});
  CHECK(to_vector(m.targets) == std::vector<double>{4, 5, 5, 6});
  CHECK(m.first == std::vector<int64_t>{3, 4});
  data::LagMatrix single = data::make_lag_matrix(tensor({1.0, 2.0, 3.0}), 1);
  CHECK(single.inputs.dtype() == f32);
  CHECK(to_vector(single.inputs) == std::vector<double>{1, 2});
  CHECK(data::make_lag_matrix(y, 5, 1).rows() == 1);
}

TEST_CASE("lag windows: too short a series, a missing value and infinity are refused") {
  Tensor y = tensor({1.0, 2.0, 3.0}, f64), gap = tensor({1.0, kGap, 3.0}, f64), far = tensor({1.0, HUGE_VAL, 3.0}, f64);
  CHECK_THROWS_WITH_AS(data::make_lag_matrix(y, 3, 1), "lag_matrix: the series has 3 values; order 3 and horizon 1 need 4 or more",
                       ValueError);
  CHECK_THROWS_WITH_AS(data::make_lag_matrix(gap, 1, 1), "lag_matrix: value 1 of the series is missing", ValueError);
  CHECK_THROWS_WITH_AS(data::complete_lag_matrix(far, 1, 1), "lag_matrix: value 1 of the series is infinite", ValueError);
  CHECK_THROWS_WITH_AS(data::make_lag_matrix(y, 0, 1), "lag_matrix: order and horizon must be at least 1, they are 0 and 1", ValueError);
  CHECK_THROWS_WITH_AS(data::make_lag_matrix(tensor({{1.0, 2.0}}), 1, 1), "lag_matrix: takes a series [N], got [1, 2]", ShapeError);
  CHECK_THROWS_AS(data::make_lag_matrix(tensor({1, 2, 3}), 1, 1), DTypeError);
  CHECK_THROWS_WITH_AS(data::complete_lag_matrix(y, 1, 1, 2, 9), "lag_matrix: targets from 2 to 9 of a series of 3 values", ValueError);
}

TEST_CASE("lag windows: windows with a gap are left out, targets stay within their part, lags may reach back") {
  Tensor y = tensor({0.0, 1.0, 2.0, kGap, 4.0, 5.0, 6.0, 7.0}, f64);
  data::LagMatrix m = data::complete_lag_matrix(y, 2, 1);
  CHECK(m.first == std::vector<int64_t>{2, 6, 7});
  CHECK(to_vector(m.inputs) == std::vector<double>{1, 0, 5, 4, 6, 5});
  data::LagMatrix last = data::complete_lag_matrix(y, 2, 1, 6);
  CHECK(last.first == std::vector<int64_t>{6, 7});
  CHECK(data::complete_lag_matrix(y, 2, 2, 0, 7).first.empty());
  CHECK(data::complete_lag_matrix(y, 2, 2, 0, 8).first == std::vector<int64_t>{6});
  CHECK(data::complete_lag_matrix(y, 2, 1, 2, 4).targets.numel() == 1);
}

TEST_CASE("lag windows: gaps are filled by straight lines, long ones and those at the ends stay") {
  Tensor y = tensor({kGap, 1.0, kGap, kGap, 4.0, kGap, kGap, kGap, 8.0, kGap}, f64);
  std::vector<double> filled = to_vector(data::fill_gaps(y, 2));
  CHECK(filled[2] == doctest::Approx(2));
  CHECK(filled[3] == doctest::Approx(3));
  for (size_t k : {0, 5, 6, 7, 9}) CHECK(std::isnan(filled[k]));
  CHECK(to_vector(data::fill_gaps(y, 3))[6] == doctest::Approx(6));
  CHECK(std::isnan(to_vector(data::fill_gaps(y, 0))[2]));
  CHECK_THROWS_AS(data::fill_gaps(y, -1), ValueError);
}

TEST_CASE("lag windows: scaling leaves missing values out, and a constant series alone") {
  Tensor y = tensor({1.0, kGap, 3.0, 100.0}, f64);
  data::SeriesScaling s = data::series_scaling(y, 3);
  CHECK(s.mean == 2);
  CHECK(s.deviation == 1);
  std::vector<double> scaled = to_vector(data::scale_series(y, s));
  CHECK(scaled[0] == -1);
  CHECK(std::isnan(scaled[1]));
  CHECK(scaled[3] == 98);
  CHECK(data::series_scaling(tensor({5.0, 5.0}, f64)).deviation == 1);
  CHECK_THROWS_WITH_AS(data::series_scaling(tensor({kGap, kGap}, f64)), "series_scaling: all 2 values are missing", ValueError);
}
