// Densities of targets: kernels, smoothed histograms and weights by hand.
#include "methods/common/label_density.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/methods/check_close.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

void check_numbers(const std::vector<double>& got, const std::vector<double>& wanted, double relative = 1e-12) {
  REQUIRE(got.size() == wanted.size());
  for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == doctest::Approx(wanted[i]).epsilon(relative));
}

}  // namespace

TEST_CASE("label density: the kernel by its formula, and the official one, which mirrors its ends") {
  check_numbers(lds_kernel({.size = 5, .sigma = 2}), {std::exp(-0.5), std::exp(-0.125), 1, std::exp(-0.125), std::exp(-0.5)});
  check_numbers(lds_kernel({.size = 5, .sigma = 2, .official = true}), {.858285, .945828, 1, .945828, .858285}, 1e-6);
  check_numbers(lds_kernel({.size = 1, .sigma = 3}), {1});
  auto nine = lds_kernel({.size = 9, .sigma = 1});
  CHECK(nine.size() == 9);
  CHECK(nine[0] == doctest::Approx(std::exp(-8.0)));
  check_numbers(convolve({1, 0, 0, 2}, {0.5, 1, 0.5}), {1, 0.5, 1, 2});
}

TEST_CASE("label density: counts, bins and weights") {
  Tensor targets = tensor({2.0, 2.5, 2.9, 3.0, 5.0});
  LabelDensity d(targets);
  CHECK(d.counts() == std::vector<int64_t>{3, 1, 0, 1});
  CHECK(to_vector<int64_t>(d.bins_of(tensor({2.1, 4.0, -7.0, 99.0}))) == std::vector<int64_t>{0, 2, 0, 3});
  check_numbers(d.bin_weights(DensityWeights::sqrt_inverse), {1 / std::sqrt(3.0), 1, 0, 1});
  check_numbers(d.bin_weights(DensityWeights::inverse), {0.2, 0.2, 0.2, 0.2});  // clipped below at 5, empty bins too
  std::vector<double> none(4, 1.0);
  CHECK(d.bin_weights(DensityWeights::none) == none);
  // Mean 1 over the training targets: 3/√3 + 2 divided by 5.
  double mean = (std::sqrt(3.0) + 2) / 5;
  check_close(d.weights(targets, DensityWeights::sqrt_inverse),
              {1 / std::sqrt(3.0) / mean, 1 / std::sqrt(3.0) / mean, 1 / std::sqrt(3.0) / mean, 1 / mean, 1 / mean}, 1e-6);
}

TEST_CASE("label density: smoothing is of the roots, with zeros outside, and fills empty bins") {
  LabelDensity d(tensor({0.0, 0.1, 0.2, 0.3, 2.5}));  // 4, 0, 1
  LdsOptions lds{.size = 3, .sigma = 1};
  double k = std::exp(-0.5);
  check_numbers(d.bin_weights(DensityWeights::sqrt_inverse, lds), {1.0 / 2, 1 / (2 * k + k), 1.0});
  check_numbers(d.bin_weights(DensityWeights::inverse, lds), {1 / (5 + 5 * k), 1 / (5 + 10 * k), 1 / (5 + 5 * k)});
}

TEST_CASE("label density: the weighted absolute error") {
  Tensor p = tensor({1.0, 2.0}), y = tensor({2.0, 0.0});
  CHECK(weighted_l1(p, y).item() == doctest::Approx(1.5));
  CHECK(weighted_l1(p, y, tensor({1.5, 0.5})).item() == doctest::Approx(1.25));
  CHECK_THROWS_AS(weighted_l1(p, y, tensor({1.0})), ShapeError);
  CHECK_THROWS_WITH_AS(weighted_l1(p, tensor({1.0, NAN})), "weighted_l1: a target is NaN", ValueError);
}

TEST_CASE("label density: mistakes are named") {
  CHECK_THROWS_WITH_AS(LabelDensity(tensor({1.0, NAN})), "label_density: target 1 is nan", ValueError);
  CHECK_THROWS_WITH_AS(LabelDensity(zeros({0})), "label_density: there are no targets", ValueError);
  CHECK_THROWS_WITH_AS(LabelDensity(tensor({1.0}), 0), "label_density: the bins' width must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(lds_kernel({.size = 4}), "lds_kernel: the size must be odd and positive, it is 4", ValueError);
  CHECK_THROWS_WITH_AS(lds_kernel({.sigma = 0}), "lds_kernel: sigma must be positive, it is 0", ValueError);
}
