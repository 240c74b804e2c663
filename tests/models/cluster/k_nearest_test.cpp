// Nearest neighbours with ties, and votes.
#include "models/cluster/k_nearest.h"

#include <doctest/doctest.h>

#include <cmath>

#include "ops/normalize.h"
#include "ops/sort.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::cluster;

TEST_CASE("k_nearest: on a line, nearest first, ties to the earlier") {
  Tensor points = tensor({{0.0}, {2.0}, {-2.0}, {5.0}}), queries = tensor({{0.0}, {4.0}});
  Neighbours n = k_nearest(queries, points, 3);
  CHECK(to_vector<int64_t>(n.index) == std::vector<int64_t>{0, 1, 2, 3, 1, 0});
  CHECK(to_vector(n.distance) == std::vector<double>{0, 2, 2, 1, 2, 4});
  CHECK(to_vector<int64_t>(k_nearest(points, 1).index) == std::vector<int64_t>{1, 0, 0, 1});  // without themselves
}

TEST_CASE("k_nearest: as sorting all distances, in more rows than one range of work") {
  Tensor a = test::sample({70, 4}, 1), b = test::sample({50, 4}, 2);
  Neighbours n = k_nearest(a, b, 50);
  Tensor all = sqrt(sum(square(unsqueeze(a, 1) - unsqueeze(b, 0)), {2}));
  CHECK(test::difference(n.distance, sort(all, 1).values) < 1e-12);
  CHECK(to_vector<int64_t>(n.index) == to_vector<int64_t>(argsort(all, 1)));
}

TEST_CASE("neighbour votes: counted, and weighted as by cosines") {
  Tensor points = tensor({{0.0}, {1.0}, {3.0}, {7.0}}), labels = tensor({0, 1, 1, 2});
  CHECK(to_vector(neighbour_votes(tensor({{0.2}}), points, labels, 3, {.k = 3})) == std::vector<double>{1.0 / 3, 2.0 / 3, 0});
  CHECK(to_vector<int64_t>(neighbour_classes(tensor({{0.2}, {6.0}}), points, labels, 3, {.k = 1})) == std::vector<int64_t>{0, 2});
  CHECK(to_vector<int64_t>(neighbour_classes(tensor({{0.4}}), points, labels, 3, {.k = 2})) == std::vector<int64_t>{0});  // a tie
  Tensor unit = normalize(test::sample({6, 3}, 3), 2, 1), query = normalize(test::sample({1, 3}, 4), 2, 1),
         kinds = tensor({0, 1, 0, 1, 0, 1});
  double votes[2] = {};
  for (int64_t i = 0; i < 6; ++i) votes[i % 2] += std::exp(sum(select(unit, 0, i) * select(query, 0, 0)).item() / 0.07);
  CHECK(to_vector(neighbour_votes(query, unit, kinds, 2, {.k = 6, .temperature = 0.07}))[0] ==
        doctest::Approx(votes[0] / (votes[0] + votes[1])).epsilon(1e-9));
}

TEST_CASE("k_nearest: bad input is named") {
  Tensor x = zeros({3, 2});
  CHECK_THROWS_WITH_AS(k_nearest(x, 3), "k_nearest: k = 3 must lie in [1, 2] for so many points", ValueError);
  CHECK_THROWS_WITH_AS(k_nearest(x, zeros({3, 1}), 1), "k_nearest: takes rows [n, d] and [m, d], got [3, 2] and [3, 1]", ShapeError);
  CHECK_THROWS_WITH_AS(neighbour_votes(x, x, tensor({0, 1, 2}), 2, {.k = 1}), "neighbour_votes: label 2 is outside [0, 2)", IndexError);
  CHECK_THROWS_WITH_AS(neighbour_votes(x, x, tensor({0, 1}), 2, {.k = 1}),
                       "neighbour_votes: takes points [m, d] with labels [m], got [3, 2] and [2]", ShapeError);
}
