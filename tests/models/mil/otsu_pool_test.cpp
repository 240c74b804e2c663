// Adaptive pooling: worked splits, an exhaustive reference, and the gradient of the chosen values.
#include "models/mil/otsu_pool.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::mil;

namespace {

double variance(const double* first, const double* last) {
  double n = static_cast<double>(last - first), mean = 0, out = 0;
  for (const double* x = first; x != last; ++x) mean += *x / n;
  for (const double* x = first; x != last; ++x) out += (*x - mean) * (*x - mean) / n;
  return out;
}

}  // namespace

TEST_CASE("otsu_split: worked examples") {
  std::vector<double> eight{.05, .07, .08, .10, .11, .12, .85, .90}, ten{.02, .03, .03, .04, .05, .05, .06, .07, .80, .90},
      ramp{.1, .2, .3, .4, .5, .6};
  OtsuSplit s = otsu_split(eight);
  CHECK(s.below == 6);
  CHECK(s.within == doctest::Approx(.000591667).epsilon(2e-6));
  CHECK(otsu_count(6, 8, 1) == 2);
  CHECK(otsu_pool(unsqueeze(from_vector(eight), 0)).item() == doctest::Approx(.875).epsilon(1e-12));
  s = otsu_split(ten);
  CHECK(s.below == 8);
  CHECK(s.within == doctest::Approx(.00069875).epsilon(2e-6));
  CHECK(otsu_pool(unsqueeze(from_vector(ten), 0)).item() == doctest::Approx(.85).epsilon(1e-12));
  CHECK(otsu_split(ramp).below == 3);
  CHECK(otsu_count(3, 6, 1) == 2);  // p raised to 4
  CHECK(otsu_pool(unsqueeze(from_vector(ramp), 0)).item() == doctest::Approx(.55).epsilon(1e-12));
  CHECK(otsu_count(6, 8, .5) == 1);
  CHECK(otsu_count(7, 8, .1) == 1);
}

TEST_CASE("otsu_split: as trying every split; equal values take the first one") {
  Generator g(1);
  for (int trial = 0; trial < 20; ++trial) {
    auto a = to_vector(rand({17}, {.dtype = f64, .generator = &g}));
    std::ranges::sort(a);
    int64_t best = 0;
    double least = INFINITY;
    for (size_t p = 1; p < a.size(); ++p) {
      double share = static_cast<double>(p) / 17;
      double within = share * variance(a.data(), a.data() + p) + (1 - share) * variance(a.data() + p, a.data() + 17);
      if (within < least - 1e-15) least = within, best = static_cast<int64_t>(p);
    }
    OtsuSplit s = otsu_split(a);
    CHECK(s.below == best);
    CHECK(s.within == doctest::Approx(least).epsilon(1e-9));
  }
  CHECK(otsu_split({.3, .3, .3, .3}).below == 1);
  CHECK(otsu_split({0, 0, 1}).below == 2);
}

TEST_CASE("otsu_pool: the gradient is 1/k where values were chosen and 0 elsewhere, each bag for itself") {
  Tensor maps =
      reshape(tensor({{.90, .05, .07, .08, .10, .11, .12, .85}, {.1, .9, .1, .1, .1, .1, .1, .1}}, f64), {2, 2, 4}).requires_grad_();
  Tensor score = otsu_pool(maps);
  CHECK(to_vector(score)[0] == doctest::Approx(.875).epsilon(1e-12));
  CHECK(to_vector(score)[1] == doctest::Approx(.9).epsilon(1e-12));
  sum(score).backward();
  CHECK(to_vector(maps.grad()) == std::vector<double>{.5, 0, 0, 0, 0, 0, 0, .5, 0, 1, 0, 0, 0, 0, 0, 0});
}

TEST_CASE("otsu_pool: mistakes are named") {
  CHECK_THROWS_WITH_AS(otsu_pool(zeros({1, 2})), "otsu_pool: a map of 2 cells; takes at least 3", ValueError);
  CHECK_THROWS_WITH_AS(otsu_split({.1, .2}), "otsu_split: 2 values; takes at least 3", ValueError);
  CHECK_THROWS_WITH_AS(otsu_split({.1, .3, .2}), "otsu_split: the values are not ascending", ValueError);
  CHECK_THROWS_AS(otsu_pool(zeros({1, 4}), 0), ValueError);
  CHECK_THROWS_AS(otsu_pool(zeros({4})), ShapeError);
}
