// RoIAlign: linear maps are read exactly, plain loops, borders, levels, derivatives.
#include "models/detection/roi_align.h"

#include <doctest/doctest.h>

#include <cmath>

#include "ops/gradcheck.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::detection;

namespace {

// The map's value at a place, as RoIAlign reads it.
double read(const Tensor& map, int64_t image, int64_t channel, double y, double x) {
  int64_t height = map.size(2), width = map.size(3);
  if (y < -1 || y > static_cast<double>(height) || x < -1 || x > static_cast<double>(width)) return 0;
  y = std::min(std::max(y, 0.0), static_cast<double>(height - 1)), x = std::min(std::max(x, 0.0), static_cast<double>(width - 1));
  double sum = 0;
  for (int64_t r = 0; r < height; ++r)
    for (int64_t c = 0; c < width; ++c) {
      double v = std::max(0.0, 1 - std::abs(y - static_cast<double>(r))) * std::max(0.0, 1 - std::abs(x - static_cast<double>(c)));
      sum += v * map.data<double>()[((image * map.size(1) + channel) * height + r) * width + c];
    }
  return sum;
}

}  // namespace

TEST_CASE("roi align: a map that rises evenly gives the value at each bin's middle") {
  std::vector<double> v;
  for (int r = 0; r < 8; ++r)
    for (int c = 0; c < 10; ++c) v.push_back(2 * r + 3 * c);
  Tensor map = from_vector(v, {1, 1, 8, 10}), boxes = from_vector(std::vector<double>{4, 6, 16, 14}, {1, 1, 4});
  for (int64_t sampling : {1, 2, 3}) {
    auto y = to_vector(roi_align({map}, {2}, boxes, {.size = 2, .sampling = sampling}));
    for (size_t bin = 0; bin < 4; ++bin) {  // bins of 6 × 4 pixels; pixel p is place p / 2 − ½
      double row = (6 + 4 * (static_cast<double>(bin / 2) + 0.5)) / 2 - 0.5,
             column = (4 + 6 * (static_cast<double>(bin % 2) + 0.5)) / 2 - 0.5;
      CHECK(y[bin] == doctest::Approx(2 * row + 3 * column));
    }
  }
}

TEST_CASE("roi align: agrees with plain loops, beyond the border and for boxes turned inside out") {
  Tensor map = test::sample({2, 3, 5, 6}, 1);
  Tensor boxes =
      from_vector(std::vector<double>{-9, -3, 7, 30, 2, 3, 2, 3, 20, 18, 4, 5, 0, 0, 24, 20, 40, 40, 50, 50, 1.5, 2.5, 9, 8}, {2, 3, 4});
  constexpr int64_t kSize = 3, kSampling = 2;
  Tensor y = roi_align({map}, {4}, boxes, {.size = kSize, .sampling = kSampling});
  REQUIRE(y.shape() == Shape{6, 9, 3});
  for (int64_t b = 0; b < 6; ++b) {
    const double* box = boxes.data<double>() + 4 * b;
    for (int64_t bin = 0; bin < 9; ++bin)
      for (int64_t c = 0; c < 3; ++c) {
        double sum = 0;
        for (int64_t s = 0; s < kSampling * kSampling; ++s) {
          double v = (static_cast<double>(bin / 3) + (static_cast<double>(s / 2) + 0.5) / 2) / 3,
                 u = (static_cast<double>(bin % 3) + (static_cast<double>(s % 2) + 0.5) / 2) / 3;
          sum += read(map, b / 3, c, (box[1] + v * (box[3] - box[1])) / 4 - 0.5, (box[0] + u * (box[2] - box[0])) / 4 - 0.5) / 4;
        }
        CHECK(y.data<double>()[(b * 9 + bin) * 3 + c] == doctest::Approx(sum).epsilon(1e-12));
      }
  }
}

TEST_CASE("roi align: boxes read the level of their size") {
  std::vector<Tensor> levels{full({1, 1, 16, 16}, 1.0, f64), full({1, 1, 8, 8}, 2.0, f64), full({1, 1, 4, 4}, 3.0, f64)};
  auto level_of = [&](double side) {
    return roi_align(levels, {4, 8, 16},
                     from_vector(std::vector<double>{32 - side / 2, 32 - side / 2, 32 + side / 2, 32 + side / 2}, {1, 1, 4}),
                     {.size = 1, .sampling = 1, .cells = 4})
        .item();
  };
  CHECK(level_of(3) == doctest::Approx(1));
  CHECK(level_of(31.9) == doctest::Approx(1));
  CHECK(level_of(32.1) == doctest::Approx(2));
  CHECK(level_of(63.9) == doctest::Approx(2));
  CHECK(level_of(64.1) == doctest::Approx(3));
  CHECK(level_of(500) == doctest::Approx(3));
  CHECK(level_of(0) == doctest::Approx(1));
}

TEST_CASE("roi align: derivatives in the maps agree with differences, once and twice") {
  Tensor boxes = from_vector(std::vector<double>{1, 2, 9, 11, 0, 0, 30, 30}, {1, 2, 4});
  auto f = [&](const std::vector<Tensor>& x) {
    return std::vector<Tensor>{square(roi_align({x[0], x[1]}, {4, 8}, boxes, {.size = 2, .cells = 2}))};
  };
  std::vector<Tensor> maps{test::sample({1, 2, 4, 4}, 1), test::sample({1, 2, 2, 2}, 2)};
  CHECK(gradcheck(f, maps));
  CHECK(gradgradcheck(f, maps));
}

TEST_CASE("roi align: what does not fit is named") {
  Tensor map = zeros({1, 2, 4, 4}), boxes = zeros({1, 2, 4});
  CHECK_THROWS_WITH_AS(roi_align({map}, {4, 8}, boxes), "roi_align: 1 levels and 2 strides; as many of each, at least one", ShapeError);
  CHECK_THROWS_WITH_AS(roi_align({map}, {4}, zeros({2, 4})), "roi_align: boxes are to be [B, P, 4], got [2, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(roi_align({map}, {4}, zeros({2, 2, 4})),
                       "roi_align: a level is [1, 2, 4, 4], which does not fit boxes [2, 2, 4] and the first level [1, 2, 4, 4]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(roi_align({map}, {4}, full({1, 2, 4}, NAN)), "roi_align: a box has the coordinate nan", ValueError);
}
