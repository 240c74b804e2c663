// Experiences: every example once, classes where they belong, labels in order of appearance, measures by hand.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "engine/core/error.h"
#include "engine/data/digits/digits.h"
#include "engine/data/experiences.h"

using namespace plumb;
using namespace plumb::data;

namespace {

std::set<int64_t> seen(const Dataset& data) {
  auto labels = data.labels();
  return {labels.begin(), labels.end()};
}

}  // namespace

TEST_CASE("experiences: classes are split, relabelled in order of appearance, and nothing is lost") {
  auto experiences = class_incremental(digits(), {.tasks = 4, .seed = 1});
  REQUIRE(experiences.size() == 4);
  int64_t train = 0, test = 0, next = 0;
  std::set<int64_t> index;
  for (const Experience& e : experiences) {
    CHECK(e.classes.size() == (next < 6 ? 3 : 2));  // 3, 3, 2, 2
    CHECK(seen(e.train) == std::set<int64_t>(e.classes.begin(), e.classes.end()));
    CHECK(seen(e.test) == seen(e.train));
    for (int64_t c : e.classes) CHECK(c == next++);
    train += e.train.size();
    test += e.test.size();
    for (int64_t i = 0; i < e.train.size(); i += 7) CHECK(index.insert(e.train[i].index).second);
  }
  CHECK(train == digits().train().size());
  CHECK(test == digits().test().size());
}

TEST_CASE("experiences: without shuffling and relabelling labels are as they were; the first may be larger") {
  auto experiences = class_incremental(digits(), {.tasks = 3, .first = 6, .shuffle = false, .relabel = false});
  CHECK(experiences[0].classes == std::vector<int64_t>{0, 1, 2, 3, 4, 5});
  CHECK(experiences[2].classes == std::vector<int64_t>{8, 9});
  CHECK(seen(experiences[1].train) == std::set<int64_t>{6, 7});
  ClassIncrementalOptions one{.seed = 1}, other{.seed = 2};
  CHECK(class_order(10, one) != class_order(10, other));
}

TEST_CASE("experiences: blurry ones hold a share of every other class") {
  auto experiences = class_incremental(digits(), {.tasks = 5, .shuffle = false, .blurry = 0.2});
  int64_t total = 0;
  for (const Experience& e : experiences) {
    auto labels = e.train.labels();
    total += e.train.size();
    double own = 0;
    for (int64_t label : labels) own += std::ranges::count(e.classes, label);
    CHECK(own / static_cast<double>(labels.size()) == doctest::Approx(0.8).epsilon(0.03));
    CHECK(seen(e.train).size() == 10);
    CHECK(seen(e.test).size() == 2);
  }
  CHECK(total == digits().train().size());
}

TEST_CASE("experiences: measures of a matrix by hand, and mistakes") {
  AccuracyMatrix a{{0.9, 0, 0}, {0.95, 0.8, 0}, {0.6, 0.7, 1}};
  CHECK(average_accuracy(a) == doctest::Approx(2.3 / 3));
  CHECK(average_incremental_accuracy(a) == doctest::Approx((0.9 + 0.875 + 2.3 / 3) / 3));
  CHECK(forgetting(a) == doctest::Approx((0.35 + 0.1) / 2));
  CHECK(backward_transfer(a) == doctest::Approx((-0.3 - 0.1) / 2));
  AccuracyMatrix ahead{{0.9, 0.3, 0}, {0.95, 0.8, 0.6}, {0.6, 0.7, 1}};
  CHECK(forward_transfer(ahead, {0.1, 0.2, 0.1}) == doctest::Approx((0.1 + 0.5) / 2));
  CHECK(forward_transfer({{0.5}}, {0.1}) == 0);
  CHECK_THROWS_WITH_AS(forward_transfer(ahead, {0.1}), "forward_transfer: 1 accuracies of before for 3 experiences", ValueError);
  CHECK(forgetting({{0.5}}) == 0);
  CHECK_THROWS_WITH_AS(forgetting({{0.5, 1}}), "forgetting: the accuracies must be a square matrix, a row an experience", ValueError);
  CHECK_THROWS_WITH_AS(class_incremental(digits(), {.tasks = 11}), "class_incremental: 10 classes cannot be split into 11 tasks",
                       ValueError);
  CHECK_THROWS_WITH_AS(class_incremental(digits(), {.blurry = 2}), "class_incremental: blurry must lie in [0, 1], it is 2",
                       ValueError);
}
