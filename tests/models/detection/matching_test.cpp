// The dynamic rule of assignment: a worked example, conflicts, the order of predictions.
#include "models/detection/matching.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::detection;

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
