// Batches by step: every example once an epoch, nothing remembered between steps.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "engine/data/step_batches.h"

using namespace plumb;
using namespace plumb::data;

namespace {

Dataset numbers(int64_t n) {
  std::vector<int64_t> values(static_cast<size_t>(n));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int64_t>(i);
  return from_tensors({{"label", from_vector(values)}});
}
std::vector<int64_t> labels(const Batch& batch) {
  const int64_t* p = batch.label.data<int64_t>();
  return {p, p + batch.size()};
}

}  // namespace

TEST_CASE("step batches: an epoch has every example once, and the next another order") {
  StepBatches batches(numbers(10), {.batch = 4, .seed = 3});
  std::vector<int64_t> all;
  for (int64_t step = 0; step < 5; ++step)
    for (int64_t l : labels(batches(step))) all.push_back(l);
  REQUIRE(all.size() == 20);
  std::vector<int64_t> first(all.begin(), all.begin() + 10), second(all.begin() + 10, all.end());
  CHECK(std::set<int64_t>(first.begin(), first.end()).size() == 10);
  CHECK(std::set<int64_t>(second.begin(), second.end()).size() == 10);
  CHECK(first != second);
}

TEST_CASE("step batches: a step reads the same whatever came before; parts are its rows in order") {
  StepBatches forwards(numbers(50), {.batch = 12, .seed = 1}), jumping(numbers(50), {.batch = 12, .seed = 1}),
      other(numbers(50), {.batch = 12, .seed = 2});
  for (int64_t step = 0; step < 7; ++step) forwards(step);
  CHECK(labels(jumping(7)) == labels(forwards(7)));
  CHECK(labels(jumping(2)) == labels(forwards(2)));
  CHECK(labels(other(2)) != labels(forwards(2)));
  std::vector<int64_t> joined;
  for (int64_t part = 0; part < 3; ++part)
    for (int64_t l : labels(jumping(4, part, 3))) joined.push_back(l);
  CHECK(joined == labels(forwards(4)));
}

TEST_CASE("step batches: random transforms differ from epoch to epoch and not between runs") {
  Dataset noisy =
      numbers(4).map("label", [](const Tensor&, Generator& g) { return scalar_tensor(static_cast<int64_t>(g.next_below(1000000)), i64); });
  StepBatches a(noisy, {.batch = 4, .seed = 1}), b(noisy, {.batch = 4, .seed = 1});
  auto sorted = [](std::vector<int64_t> v) { return std::sort(v.begin(), v.end()), v; };
  CHECK(labels(a(3)) == labels(b(3)));
  CHECK(sorted(labels(a(0))) != sorted(labels(a(1))));
}

TEST_CASE("step batches: mistakes are named") {
  CHECK_THROWS_WITH_AS(StepBatches(numbers(3), {.batch = 0}), "batches: the batch size must be at least 1, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(StepBatches(numbers(3).take(0), {}), "batches: the data set is empty", ValueError);
  StepBatches batches(numbers(3), {.batch = 4});
  CHECK_THROWS_WITH_AS(batches(-1), "batches: there is no step -1", IndexError);
  CHECK_THROWS_WITH_AS(batches(0, 0, 3), "batches: 3 parts do not divide a batch of 4", ValueError);
  CHECK_THROWS_WITH_AS(batches(0, 2, 2), "batches: part 2 is outside [0, 2)", IndexError);
}
