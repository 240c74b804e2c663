// The genetic search: it finds a known best, is the same again, ends under constraints that nothing meets, and names wrong options.
#include "models/optim/genetic_search.h"

#include <doctest/doctest.h>

#include <numeric>

#include "engine/core/error.h"

using namespace plumb;
using namespace plumb::optim;

namespace {

std::vector<double> matches(const std::vector<Choices>& candidates) {  // with 3, 1, 4, 1, 5, 2, 6, 5
  const Choices wanted{3, 1, 4, 1, 5, 2, 6, 5};
  std::vector<double> out;
  for (const Choices& c : candidates) {
    double n = 0;
    for (size_t i = 0; i < c.size(); ++i) n += c[i] == wanted[i];
    out.push_back(n);
  }
  return out;
}
bool any(const Choices&) { return true; }

}  // namespace

TEST_CASE("genetic_search: finds one of 5.7 million combinations, and the same generator finds it in the same way") {
  std::vector<int> choices(8, 7);
  Generator a(1), b(1);
  GeneticResult first = genetic_search(choices, matches, any, {.population = 100, .generations = 60}, a);
  CHECK(first.fitness == 8);
  GeneticResult second = genetic_search(choices, matches, any, {.population = 100, .generations = 60}, b);
  CHECK(second.best == first.best);
  CHECK(second.history == first.history);
  CHECK(first.history.size() == 61);
  CHECK(first.judged == 61 * 100);
  for (size_t i = 1; i < first.history.size(); ++i) CHECK(first.history[i] >= first.history[i - 1]);
}

TEST_CASE("genetic_search: every judged candidate meets the constraint") {
  auto even = [](const Choices& c) { return std::accumulate(c.begin(), c.end(), 0) % 2 == 0; };
  auto judge = [&](const std::vector<Choices>& candidates) {
    for (const Choices& c : candidates) CHECK(even(c));
    return matches(candidates);
  };
  Generator g(2);
  CHECK(even(genetic_search(std::vector<int>(8, 7), judge, even, {.population = 20, .generations = 10}, g).best));
}

TEST_CASE("genetic_search: a constraint that nothing meets ends, one that one candidate meets finds it") {
  Generator g(3);
  auto none = [](const Choices&) { return false; };
  CHECK_THROWS_WITH_AS(genetic_search({7, 7}, matches, none, {.attempts = 300}, g),
                       "genetic_search: none of 300 candidates meets the constraint", ValueError);
  auto one = [](const Choices& c) { return c == Choices{1, 2}; };
  CHECK(genetic_search({3, 3}, matches, one, {.population = 10, .generations = 3, .attempts = 500}, g).best == Choices{1, 2});
  CHECK_THROWS_WITH_AS(draw_allowed({7, 7}, none, 2, 50, g), "genetic_search: none of 50 candidates meets the constraint", ValueError);
  CHECK(draw_allowed({7, 7}, any, 5, 50, g).size() == 5);
}

TEST_CASE("genetic_search: mistakes are named") {
  CHECK_THROWS_WITH_AS(genetic_search({}, matches, any), "genetic_search: there are no genes", ValueError);
  CHECK_THROWS_WITH_AS(genetic_search({2, 0}, matches, any), "genetic_search: gene 1 has no choices", ValueError);
  CHECK_THROWS_WITH_AS(genetic_search({2}, matches, any, {.mutation = 2}),
                       "genetic_search: the mutation rate must lie in [0, 1], it is 2", ValueError);
  auto too_few = [](const std::vector<Choices>&) { return std::vector<double>{}; };
  CHECK_THROWS_WITH_AS(genetic_search({2}, too_few, any, {.population = 3}), "genetic_search: 0 scores for 3 candidates", ValueError);
}
