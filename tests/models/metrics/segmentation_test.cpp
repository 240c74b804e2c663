// Dice scores and surface distances of masks, counted by hand.
#include "models/metrics/segmentation.h"

#include <doctest/doctest.h>

#include <cmath>

#include "ops/pointwise.h"

using namespace plumb;

TEST_CASE("dice_score: twice the overlap over both sizes; two empty masks agree") {
  Tensor p = tensor({{1, 1, 0}, {0, 1, 0}}), t = tensor({{0, 1, 0}, {0, 1, 1}});
  CHECK(metrics::dice_score(p, t) == doctest::Approx(2 * 2.0 / 6));
  CHECK(metrics::dice_score(p, p) == 1);
  CHECK(metrics::dice_score(p, zeros({2, 3}, i64)) == 0);
  CHECK(metrics::dice_score(zeros({2, 3}, i64), zeros({2, 3}, i64)) == 1);
  CHECK(metrics::dice_score(p == 1, t == 1) == metrics::dice_score(p, t));
  CHECK_THROWS_WITH_AS(metrics::dice_score(p, zeros({3, 2}, i64)), "dice_score: masks [2, 3] and [3, 2]", ShapeError);
}

TEST_CASE("hd95: distances between surfaces, both ways, at the 95th percentile") {
  auto at = [](int64_t row, int64_t column) {
    Tensor m = zeros({8, 8}, i64);
    m.data<int64_t>()[row * 8 + column] = 1;
    return m;
  };
  CHECK(metrics::hd95(at(1, 1), at(4, 5)) == doctest::Approx(5));
  CHECK(metrics::hd95(at(2, 2), at(2, 2)) == 0);
  CHECK(metrics::hd95(zeros({8, 8}, i64), zeros({8, 8}, i64)) == 0);
  CHECK(metrics::hd95(zeros({8, 8}, i64), at(1, 1)) == doctest::Approx(std::sqrt(128.0)));
  // A filled 5×5 square against its own inside: the surfaces of 16 and 8 pixels are 1 or √2 apart.
  Tensor large = zeros({8, 8}, i64), small = zeros({8, 8}, i64);
  for (int64_t r = 1; r < 6; ++r)
    for (int64_t c = 1; c < 6; ++c) {
      large.data<int64_t>()[r * 8 + c] = 1;
      if (r > 1 && r < 5 && c > 1 && c < 5) small.data<int64_t>()[r * 8 + c] = 1;
    }
  // 24 distances, four of them √2 (the corners of the large one) and 20 of 1; place .95 · 23 = 21.85 lies among the √2.
  CHECK(metrics::hd95(large, small) == doctest::Approx(std::sqrt(2.0)));
  // One outlier among 41 distances lies beyond the percentile.
  Tensor line = zeros({1, 40}, i64), longer = zeros({1, 40}, i64);
  for (int64_t c = 0; c < 20; ++c) line.data<int64_t>()[c] = longer.data<int64_t>()[c] = 1;
  longer.data<int64_t>()[39] = 1;
  CHECK(metrics::hd95(line, longer) == 0);
  CHECK_THROWS_WITH_AS(metrics::hd95(line, large), "hd95: takes two masks [H, W], got [1, 40] and [8, 8]", ShapeError);
}
