// Assignments: against all permutations, ties, and a worked example of the dynamic rule.
#include "models/detection/matching.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::detection;

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

TEST_CASE("dynamic k: the worked example, conflicts and objects that would be left without") {
  Tensor iou = tensor({{0.8, 0.0}, {0.7, 0.1}, {0.6, 0.3}, {0.05, 0.7}, {0.0, 0.2}}, f64);
  Tensor cost = tensor({{1.0, 9.0}, {1.5, 1.2}, {3.0, 2.9}, {8.0, 1.4}, {9.0, 2.0}}, f64);
  // Of the three largest: ⌊2.1⌋ = 2 and ⌊1.2⌋ = 1. Object 0 takes 0 and 1, object 1 takes 1, for which it is cheaper.
  CHECK(dynamic_k_assignment(cost, iou, 3) == Pairs{{0, 0}, {1, 1}});
  // Both want prediction 0 alone; object 1 is dearer there and takes its next free one.
  CHECK(dynamic_k_assignment(tensor({{1.0, 2.0}, {5.0, 4.0}, {6.0, 3.0}}), zeros({3, 2})) == Pairs{{0, 0}, {2, 1}});
  // Object 0 holds both predictions; object 1 gets the one that suits it more.
  CHECK(dynamic_k_assignment(tensor({{1.0, 2.0}, {1.0, 3.0}}, f64), tensor({{1.0, 0.1}, {1.0, 0.1}}, f64)) == Pairs{{0, 1}, {1, 0}});
  CHECK(dynamic_k_assignment(zeros({3, 0}), zeros({3, 0})).empty());
  CHECK_THROWS_WITH_AS(dynamic_k_assignment(zeros({1, 2}), zeros({1, 2})), "dynamic_k_assignment: 1 predictions are fewer than 2 objects",
                       ValueError);
  CHECK_THROWS_WITH_AS(dynamic_k_assignment(zeros({2, 2}), zeros({2, 1})), "dynamic_k_assignment: cost [2, 2] and iou [2, 1] differ",
                       ShapeError);
}

TEST_CASE("dynamic k: the order of predictions does not matter, and every object has one") {
  for (uint64_t seed = 1; seed < 20; ++seed) {
    Tensor cost = test::sample({7, 3}, seed, f64, 0, 5), iou = test::sample({7, 3}, seed + 50, f64, 0, 1);
    std::vector<int64_t> order{4, 2, 6, 0, 1, 5, 3}, owner(7, -1), turned(7, -1);
    std::vector<double> c = to_vector(cost), i = to_vector(iou), c2, i2;
    for (int64_t r : order)
      for (int64_t k = 0; k < 3; ++k) c2.push_back(c[static_cast<size_t>(r * 3 + k)]), i2.push_back(i[static_cast<size_t>(r * 3 + k)]);
    for (auto [p, g] : dynamic_k_assignment(cost, iou)) owner[static_cast<size_t>(p)] = g;
    for (auto [p, g] : dynamic_k_assignment(from_vector(c2, {7, 3}), from_vector(i2, {7, 3})))
      turned[static_cast<size_t>(order[static_cast<size_t>(p)])] = g;
    CHECK(owner == turned);
    for (int64_t g = 0; g < 3; ++g) CHECK(std::count(owner.begin(), owner.end(), g) >= 1);
  }
}
