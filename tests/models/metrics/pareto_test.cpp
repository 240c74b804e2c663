// Pareto sets and hypervolumes: worked examples, volumes counted on a grid, mistakes.
#include "models/metrics/pareto.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/core/error.h"
#include "engine/core/generator.h"

using namespace plumb;
using Points = std::vector<std::vector<double>>;

TEST_CASE("pareto: the worked example") {
  Points points{{.2, .6}, {.4, .3}, {.7, .1}, {.5, .5}};
  CHECK(metrics::pareto_set(points) == std::vector<size_t>{0, 1, 2});
  CHECK(metrics::hypervolume(points, {1, 1}) == doctest::Approx(.56));
}

TEST_CASE("pareto: equal points stay together, a NaN never does, and a point beyond the reference counts nothing") {
  CHECK(metrics::pareto_set({{1, 2}, {1, 2}, {2, 2}, {NAN, 0}}) == std::vector<size_t>{0, 1});
  CHECK(metrics::pareto_set({}).empty());
  CHECK(metrics::hypervolume({{2, 0}, {0, 1}}, {1, 1}) == 0);
  CHECK(metrics::hypervolume({{0, 0, 0}, {0, 0, 0}}, {1, 2, 3}) == doctest::Approx(6));
}

TEST_CASE("pareto: the volume of three measures is that counted on a grid") {
  Generator g(3);
  Points points;
  for (int i = 0; i < 12; ++i) {
    std::vector<double> p;
    for (int k = 0; k < 3; ++k) p.push_back(static_cast<double>(g.next_below(10)) / 10);
    points.push_back(p);
  }
  int inside = 0;  // cells of side 0.1 whose lower corner some point is below
  for (int x = 0; x < 10; ++x)
    for (int y = 0; y < 10; ++y)
      for (int z = 0; z < 10; ++z) {
        bool covered = false;
        for (const auto& p : points) covered = covered || (p[0] <= x / 10. + 1e-9 && p[1] <= y / 10. + 1e-9 && p[2] <= z / 10. + 1e-9);
        inside += covered;
      }
  CHECK(metrics::hypervolume(points, {1, 1, 1}) == doctest::Approx(inside / 1000.).epsilon(1e-9));
}

TEST_CASE("pareto: mistakes are named") {
  CHECK_THROWS_WITH_AS(metrics::pareto_set({{1, 2}, {1}}), "pareto_set: a point has 1 measures, not 2", ValueError);
  CHECK_THROWS_WITH_AS(metrics::hypervolume({{1.0}}, {1.0}), "hypervolume: takes two or three measures, not 1", ValueError);
}
