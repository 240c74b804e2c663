// The memory of replay: how much of what it keeps, and what it hands out.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "engine/core/error.h"
#include "methods/common/rehearsal.h"
#include "ops/create.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

// Ten examples of each of two classes; x is a number of its own for each.
ContinualExamples examples(int64_t first_class, int64_t task, double from) {
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < 20; ++i) labels.push_back(first_class + i % 2);
  return {reshape(arange(from, from + 20), {20, 1}), from_vector(labels), full({20}, task, i64)};
}

}  // namespace

TEST_CASE("rehearsal: so many different examples of each class, whatever came later") {
  Generator g(1);
  RehearsalMemory memory(4);
  CHECK(memory.empty());
  memory.add(examples(0, 0, 0.0), g);
  auto first = to_vector(memory.all().x);
  memory.add(examples(2, 1, 100.0), g);
  REQUIRE(memory.size() == 16);
  auto x = to_vector(memory.all().x);
  CHECK(std::set<double>(x.begin(), x.end()).size() == 16);
  CHECK(std::vector<double>(x.begin(), x.begin() + 8) == first);  // old examples stay
  auto labels = to_vector<int64_t>(memory.all().labels), tasks = to_vector<int64_t>(memory.all().task);
  for (int64_t c = 0; c < 4; ++c) CHECK(std::ranges::count(labels, c) == 4);
  for (size_t i = 0; i < 16; ++i) {
    CHECK(tasks[i] == labels[i] / 2);
    CHECK(static_cast<int64_t>(x[i]) % 2 == labels[i] % 2);  // with its own label
    CHECK((x[i] >= 100) == (tasks[i] == 1));
  }
}

TEST_CASE("rehearsal: a class seen in several domains shares its places") {
  Generator g(2);
  RehearsalMemory memory(4);
  memory.add(examples(0, 0, 0.0), g);
  memory.add(examples(0, 1, 100.0), g);
  CHECK(memory.size() == 8);
  CHECK(std::ranges::count(to_vector<int64_t>(memory.all().task), 0) == 4);
}

TEST_CASE("rehearsal: draws without repeats while there are enough, and says when there is nothing") {
  Generator g(3);
  RehearsalMemory memory(4);
  CHECK_THROWS_WITH_AS(memory.sample(2, g), "rehearsal: nothing is kept yet", ValueError);
  CHECK_THROWS_WITH_AS(RehearsalMemory(0), "rehearsal: 0 examples a class", ValueError);
  memory.add(examples(0, 0, 0.0), g);
  auto drawn = to_vector(memory.sample(8, g).x);
  CHECK(std::set<double>(drawn.begin(), drawn.end()).size() == 8);
  CHECK(memory.sample(30, g).size() == 30);
}
