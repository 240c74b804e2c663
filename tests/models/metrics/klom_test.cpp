// KLOM: the worked example, its bounds, and what is refused.
#include "models/metrics/klom.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "engine/core/generator.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

using namespace plumb;
using metrics::klom;

namespace {
Tensor one_point(const std::vector<double>& margins) { return from_vector(margins, {static_cast<int64_t>(margins.size()), 1}); }
const std::vector<double> kUnlearned{0.1, 0.3, 0.5, 0.9, 1.1, 1.2, 1.6, 2.0}, kOracle{0.0, 0.2, 0.6, 0.7, 0.8, 1.3, 1.4, 1.9};
}  // namespace

TEST_CASE("klom: worked example 2, with the largest value counted and, as in the benchmark, dropped") {
  CHECK(klom(one_point(kUnlearned), one_point(kOracle), {.bins = 4}).item() == doctest::Approx(0.0719205).epsilon(1e-6));
  CHECK(klom(one_point(kUnlearned), one_point(kOracle), {.bins = 4, .drop_top_edge = true}).item() ==
        doctest::Approx(0.0176842).epsilon(5e-6));
}

TEST_CASE("klom: identical samples give 0, one value gives 0, disjoint supports stay finite, and it is never negative") {
  CHECK(klom(one_point(kOracle), one_point(kOracle)).item() == 0);
  CHECK(klom(one_point({2, 2, 2}), one_point({2, 2, 2})).item() == 0);
  double apart = klom(one_point({0, 0.1, 0.2}), one_point({5, 5.1, 5.2})).item();
  CHECK(apart > std::log(1e5) - 1.2);  // the mass is in one or two bins of 1e-5 each
  CHECK(apart <= std::log(1e5) + 1e-3);
  Generator g(1);
  for (double v : to_vector(klom(randn({40, 50}, {.generator = &g}), randn({40, 50}, {.generator = &g}) * 2 + 1))) CHECK(v >= 0);
}

TEST_CASE("klom: margins are clipped, and points do not see each other") {
  CHECK(klom(one_point({300, 200}), one_point({100, 1000})).item() == 0);
  Tensor a = tensor({{0.0, 5.0}, {1.0, 6.0}}), b = tensor({{0.5, -3.0}, {0.9, 2.0}});
  auto both = to_vector(klom(a, b));
  CHECK(both[1] == klom(slice(a, 1, 1), slice(b, 1, 1)).item());
  CHECK(both[0] == klom(slice(a, 1, 0, 1), slice(b, 1, 0, 1)).item());
}

TEST_CASE("klom: the 95th percentile lies between order statistics") {
  metrics::KlomSummary s = metrics::summarise_klom(tensor({0.0, 1.0, 2.0, 3.0, 4.0}, f64));
  CHECK(s.p95 == doctest::Approx(3.8));
  CHECK(s.mean == doctest::Approx(2));
}

TEST_CASE("klom: mistakes are named") {
  CHECK_THROWS_WITH_AS(klom(zeros({3, 2}), zeros({4, 2})), "klom: 3 unlearned models against 4 oracles; as many of both are needed",
                       ShapeError);
  CHECK_THROWS_WITH_AS(klom(zeros({3, 2}), zeros({3, 1})), "klom: takes margins [N, n] and [N, n], got [3, 2] and [3, 1]", ShapeError);
  CHECK_THROWS_WITH_AS(klom(zeros({0, 2}), zeros({0, 2})), "klom: there are no models", ValueError);
  CHECK_THROWS_WITH_AS(klom(zeros({3, 2}), zeros({3, 2}), {.bins = 0}), "klom: takes at least 1 bin, got 0", ValueError);
  CHECK_THROWS_WITH_AS(klom(zeros({3, 2}), zeros({3, 2}), {.eps = 0}), "klom: clip and eps must be positive", ValueError);
  CHECK_THROWS_WITH_AS(klom(full({1, 1}, std::numeric_limits<double>::quiet_NaN()), zeros({1, 1})), "klom: a margin is NaN", ValueError);
  CHECK_THROWS_WITH_AS(metrics::summarise_klom(zeros({0})), "klom: there are no points", ValueError);
}
