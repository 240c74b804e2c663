// Memories by sample: averages, stores, queues, and a frozen teacher's cached targets.
#include <doctest/doctest.h>

#include "methods/common/per_sample.h"
#include "methods/common/teacher.h"
#include "models/nn/linear.h"
#include "ops/pointwise.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("per-sample average: a row after k visits is (1 - beta^k) of a constant value, other rows stay") {
  PerSampleEma average(4, 2, 0.7, f64);
  Tensor index = tensor({2, 0}), values = tensor({{1.0, 2.0}, {3.0, 4.0}}, f64);
  auto first = to_vector(average.update(index, values));
  CHECK(first[0] == doctest::Approx(0.3));
  CHECK(first[3] == doctest::Approx(1.2));
  Tensor kept = average.update(index, values);
  CHECK(to_vector(kept)[0] == doctest::Approx(0.51));
  auto table = to_vector(average.table());
  CHECK(table[0] == doctest::Approx(0.51 * 3));
  CHECK(table[5] == doctest::Approx(0.51 * 2));
  CHECK(table[2] == 0);
  CHECK(table[6] == 0);
  average.update(index, values);
  CHECK(to_vector(kept)[0] == doctest::Approx(0.51));  // what was returned is not the table's own
  CHECK(to_vector(average.rows(tensor({0, 0})))[2] == doctest::Approx((1 - 0.343) * 3));
}

TEST_CASE("per-sample average: no gradient gets in, mistakes change nothing") {
  PerSampleEma average(3, 2, 0.5);
  Tensor values = tensor({{1.0, 2.0}, {3.0, 4.0}}).requires_grad_();
  CHECK_FALSE(average.update(tensor({0, 1}), values).requires_grad());
  auto before = to_vector(average.table());
  CHECK_THROWS_WITH_AS(average.update(tensor({0, 3}), values), "per_sample_ema: index 3 is outside [0, 3)", IndexError);
  CHECK_THROWS_WITH_AS(average.update(tensor({1, 1}), values), "per_sample_ema: index 1 occurs twice in one batch", ValueError);
  CHECK_THROWS_WITH_AS(average.update(tensor({0, 1}), zeros({2, 3})), "per_sample_ema: values must be [2, 2], got [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(PerSampleEma(3, 2, 1.5), "per_sample_ema: beta must lie in [0, 1], it is 1.5", ValueError);
  CHECK(to_vector(average.table()) == before);
}

TEST_CASE("per-sample store: the newest value, and none before the first") {
  PerSampleStore store(3, 1);
  store.put(tensor({2, 1, 2}), tensor({{1.0}, {2.0}, {3.0}}));
  CHECK(to_vector(store.rows(tensor({1, 2}))) == std::vector<double>{2, 3});
  CHECK(store.filled() == 2);
  CHECK_THROWS_WITH_AS(store.rows(tensor({0})), "per_sample_store: example 0 has no value yet", IndexError);
}

TEST_CASE("feature queue: oldest rows make room, order is kept across the end") {
  FeatureQueue queue(3, 1);
  CHECK(queue.read().shape() == Shape{0, 1});
  queue.push(tensor({{1.0}, {2.0}}));
  CHECK(to_vector(queue.read()) == std::vector<double>{1, 2});
  CHECK(to_vector(queue_mean(queue))[0] == doctest::Approx(1));  // over all three slots
  queue.push(tensor({{3.0}, {4.0}}));
  CHECK(to_vector(queue.read()) == std::vector<double>{2, 3, 4});
  queue.push(tensor({{5.0}, {6.0}, {7.0}}));
  CHECK(to_vector(queue.read()) == std::vector<double>{5, 6, 7});
  CHECK_THROWS_WITH_AS(queue.push(zeros({4, 1})), "feature_queue: takes rows [at most 3, 1], got [4, 1]", ShapeError);
}

TEST_CASE("frozen snapshot: it stays as it was, and its targets are computed once") {
  nn::Linear model(2, 1);
  Tensor x = tensor({{1.0, 2.0}, {3.0, 4.0}});
  auto before = to_vector(model(x));
  FrozenSnapshot<nn::Linear> teacher(model);
  {
    NoGrad no_grad;
    fill_(model.weight, 0);
  }
  CHECK(to_vector(teacher(x)) == before);
  CHECK_FALSE(teacher(x).requires_grad());
  CachedTargets targets(5, 1);
  int asked = 0;
  auto ask = [&] { return ++asked, teacher(x); };
  CHECK(to_vector(targets(tensor({4, 1}), ask)) == before);
  CHECK(to_vector(targets(tensor({1, 4}), ask)) == std::vector<double>{before[1], before[0]});
  CHECK(asked == 1);
  CHECK(targets.filled() == 2);
}
