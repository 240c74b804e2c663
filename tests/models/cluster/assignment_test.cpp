// Assignments: against all permutations, ties, a certificate by duality; clusters matched with classes.
#include "models/cluster/assignment.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::cluster;

namespace {

// The least cost of n rows and m ≥ n columns: every choice tried.
double least(const std::vector<double>& cost, size_t rows, size_t columns, size_t row = 0, unsigned taken = 0) {
  if (row == rows) return 0;
  double best = INFINITY;
  for (size_t c = 0; c < columns; ++c)
    if (!(taken >> c & 1)) best = std::min(best, cost[row * columns + c] + least(cost, rows, columns, row + 1, taken | 1u << c));
  return best;
}

void check_least(const Tensor& cost) {
  bool wide = cost.size(0) <= cost.size(1);
  Tensor upright = wide ? cost : transpose(cost, 0, 1);
  auto rows = static_cast<size_t>(upright.size(0)), columns = static_cast<size_t>(upright.size(1));
  std::vector<double> v = to_vector(upright);
  Pairs pairs = linear_assignment(cost);
  REQUIRE(pairs.size() == rows);
  double total = 0;
  std::vector<int> row_taken(static_cast<size_t>(cost.size(0))), column_taken(static_cast<size_t>(cost.size(1)));
  for (auto [r, c] : pairs) {
    total += v[static_cast<size_t>(wide ? r : c) * columns + static_cast<size_t>(wide ? c : r)];
    CHECK(++row_taken[static_cast<size_t>(r)] == 1);
    CHECK(++column_taken[static_cast<size_t>(c)] == 1);
  }
  CHECK(std::is_sorted(pairs.begin(), pairs.end()));
  CHECK(total == doctest::Approx(least(v, rows, columns)).epsilon(1e-12));
}

}  // namespace

TEST_CASE("linear assignment: as cheap as the cheapest of all permutations") {
  uint64_t seed = 1;
  for (int64_t n = 1; n <= 6; ++n)
    for (int64_t m = 1; m <= 8; ++m)
      for (int repeat = 0; repeat < 4; ++repeat) {
        Tensor cost = test::sample({n, m}, seed++, f64, -5, 5);
        check_least(cost);
        check_least(floor(cost));  // with ties
      }
}

TEST_CASE("linear assignment: large costs of either sign, nothing to match, and bad entries") {
  check_least(test::sample({5, 5}, 1, f64, -1e9, 1e9));
  CHECK(linear_assignment(zeros({0, 3})).empty());
  CHECK(linear_assignment(zeros({3, 0})).empty());
  CHECK(linear_assignment(tensor({{4.0, 1.0, 3.0}, {2.0, 0.0, 5.0}, {3.0, 2.0, 2.0}})) == Pairs{{0, 1}, {1, 0}, {2, 2}});
  CHECK_THROWS_WITH_AS(linear_assignment(tensor({{1.0, 2.0}, {NAN, 1.0}})), "linear_assignment: the cost of (1, 0) is not finite",
                       ValueError);
  CHECK_THROWS_WITH_AS(linear_assignment(zeros({3})), "linear_assignment: takes a matrix of costs, got [3]", ShapeError);
}

TEST_CASE("linear assignment: a hundred by a hundred, certified by duality") {
  // Costs u_r + v_c + w with w = 0 on a hidden permutation and positive elsewhere: that permutation is the only cheapest one.
  constexpr int64_t n = 100;
  Tensor u = test::sample({n, 1}, 1), v = test::sample({1, n}, 2), w = test::sample({n, n}, 3, f64, 0.01, 1);
  std::vector<int64_t> column(n);
  std::iota(column.begin(), column.end(), 0);
  Generator g(4);
  for (size_t i = n - 1; i > 0; --i) std::swap(column[i], column[g.next_below(i + 1)]);
  for (int64_t r = 0; r < n; ++r) w.data<double>()[r * n + column[static_cast<size_t>(r)]] = 0;
  for (auto [r, c] : linear_assignment(u + v + w)) CHECK(c == column[static_cast<size_t>(r)]);
}

TEST_CASE("cluster_accuracy: the best of all ways to name the clusters") {
  Tensor clusters = tensor({2, 2, 2, 0, 0, 1, 1}), labels = tensor({0, 0, 1, 1, 1, 2, 0});
  CHECK(match_clusters(clusters, labels) == std::vector<int64_t>{1, 2, 0});
  CHECK(cluster_accuracy(clusters, labels) == doctest::Approx(5.0 / 7));
  CHECK(match_clusters(tensor({0, 1, 2}), tensor({0, 0, 0})) == std::vector<int64_t>{0, -1, -1});  // one class for three clusters
  CHECK(cluster_accuracy(tensor({0, 0, 0, 0}), tensor({3, 1, 3, 0})) == doctest::Approx(0.5));
  CHECK(match_clusters(zeros({0}, i64), zeros({0}, i64)).empty());
  CHECK_THROWS_WITH_AS(cluster_accuracy(tensor({0, -1}), tensor({0, 1})), "cluster_accuracy: number -1 is negative", IndexError);
  CHECK_THROWS_WITH_AS(match_clusters(tensor({0, 1}), tensor({0})), "match_clusters: takes clusters [n] and labels [n], got [2] and [1]",
                       ShapeError);
}
