// Long tails: counts of the three kinds, subsets that have them, weights by hand.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "engine/data/long_tail.h"

using namespace plumb;
using namespace plumb::data;

namespace {

Dataset cyclic(int64_t n, int64_t classes) {
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < n; ++i) labels.push_back(i % classes);
  return from_tensors({{"label", from_vector(labels)}});
}

}  // namespace

TEST_CASE("long tail: counts fall as they should") {
  CHECK(long_tail_counts(100, 3, 100) == std::vector<int64_t>{100, 10, 1});
  CHECK(long_tail_counts(500, 5, 16) == std::vector<int64_t>{500, 250, 125, 62, 31});
  CHECK(long_tail_counts(100, 4, 10, Tail::step) == std::vector<int64_t>{100, 100, 10, 10});
  auto pareto = long_tail_counts(1000, 10, 100, Tail::pareto);
  CHECK(pareto[0] == 1000);
  CHECK(pareto[1] == 250);  // (1/2)^2
  CHECK(pareto[9] == 10);
  CHECK(long_tail_counts(147, 2, 49) == std::vector<int64_t>{147, 3});  // 147 · (1/49) is below 3 in f64
  CHECK(long_tail_counts(5000, 10, 100) == std::vector<int64_t>{5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50});
  auto hundred = long_tail_counts(500, 100, 100);
  CHECK(hundred[1] == 477);
  CHECK(hundred[50] == 48);
  CHECK(hundred[99] == 5);
  CHECK(long_tail_counts(7, 3, 1) == std::vector<int64_t>{7, 7, 7});
  CHECK_THROWS_WITH_AS(long_tail_counts(7, 3, 0.5), "long_tail: the imbalance must be at least 1, it is 0.5", ValueError);
}

TEST_CASE("long tail: a subset has its counts, in the original order, and another class may come first") {
  Dataset tail = long_tail(cyclic(300, 3), {100, 10, 1}, 1);
  CHECK(class_counts(tail.labels()) == std::vector<int64_t>{100, 10, 1});
  CHECK(class_counts(long_tail(cyclic(300, 3), {50, 5, 2}, 2, {2, 0, 1}).labels()) == std::vector<int64_t>{5, 2, 50});
  std::vector<int64_t> places;
  for (int64_t i = 0; i < tail.size(); ++i) places.push_back(tail[i].index);
  CHECK(std::ranges::is_sorted(places));
  std::vector<int64_t> others;
  Dataset other = long_tail(cyclic(300, 3), {100, 10, 1}, 2);
  for (int64_t i = 0; i < other.size(); ++i) others.push_back(other[i].index);
  CHECK(others != places);  // ten of a hundred are drawn by the seed
  CHECK_THROWS_WITH_AS(long_tail(cyclic(30, 3), {11, 1, 1}, 1), "long_tail: class 0 has 10 examples, fewer than 11", ValueError);
  CHECK_THROWS_WITH_AS(long_tail(cyclic(30, 3), {1, 1, 1}, 1, {0, 0, 1}), "long_tail: the rank is no permutation of 3 classes", ValueError);
  CHECK_THROWS_WITH_AS(long_tail(cyclic(30, 3), {1, 1}, 1), "long_tail: label 2 has no count; there are 2", IndexError);
}

TEST_CASE("long tail: weights and groups") {
  auto w = inverse_frequency_weights({100, 50});
  CHECK(w[0] == doctest::Approx(2.0 / 3));
  CHECK(w[1] == doctest::Approx(4.0 / 3));
  auto e = effective_number_weights({2, 1}, 0.5);  // (1 − β) / (1 − β²) = 2/3 and 1
  CHECK(e[0] == doctest::Approx(0.8));
  CHECK(e[1] == doctest::Approx(1.2));
  CHECK(logit_adjustment({75, 25}, 2)[1] == doctest::Approx(2 * std::log(0.25)));
  ShotGroups g = shot_groups({500, 100, 20, 19});
  CHECK(g.many == std::vector<int64_t>{0});
  CHECK(g.medium == std::vector<int64_t>{1, 2});
  CHECK(g.few == std::vector<int64_t>{3});
  CHECK_THROWS_WITH_AS(inverse_frequency_weights({1, 0}), "inverse_frequency_weights: class 1 has no examples", ValueError);
}
