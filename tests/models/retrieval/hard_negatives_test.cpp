// Mined negatives: candidates and probabilities of the worked example, the limits of the temperature by counting, and batches.
#include "models/retrieval/hard_negatives.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

using namespace plumb;
using namespace plumb::retrieval;

namespace {

Tensor example() {
  return tensor(
      {{.85, .80, .60, .30, .55}, {.40, .72, .69, .20, .71}, {.90, .88, .82, .86, .10}, {.2, .3, .1, .65, .3}, {.5, .4, .74, .6, .75}},
      f64);
}
const std::vector<double> kRow{.80, .60, .30, .55};

// How often each place is among `count` drawn, over 100,000 draws.
std::vector<double> frequencies(const std::vector<double>& scores, int64_t count, double temperature) {
  constexpr int kDraws = 100'000;
  Generator g(7);
  std::vector<double> f(scores.size());
  for (int i = 0; i < kDraws; ++i)
    for (int64_t place : sample_without_replacement(scores, count, temperature, g)) f[static_cast<size_t>(place)] += 1.0 / kDraws;
  return f;
}

}  // namespace

TEST_CASE("hard negatives: candidates of the worked example, best first") {
  auto candidates = negative_candidates(example(), {.gamma = .95});
  CHECK(candidates[0] == std::vector<int64_t>{1, 2, 4, 3});
  CHECK(candidates[1] == std::vector<int64_t>{0, 3});
  CHECK(candidates[4] == std::vector<int64_t>{3, 0, 1});  // .74 ≥ .7125 may be an answer
  CHECK(negative_candidates(example(), {.drop_false = false})[4] == std::vector<int64_t>{2, 3, 0, 1});
  CHECK(negative_candidates(example(), {.most = 2})[0] == std::vector<int64_t>{1, 2});
  CHECK(negative_candidates(example(), {.document = {0, 1, 2, 3, 0}})[0] == std::vector<int64_t>{1, 2, 3});  // 4 is the same text as 0
}

TEST_CASE("hard negatives: probabilities of the worked example, and of temperatures that no exponential survives") {
  std::vector<double> p = negative_probabilities(kRow, .05), wanted{.975516, .0178672, 4.42883e-5, .00657297};
  for (size_t i = 0; i < 4; ++i) CHECK(p[i] == doctest::Approx(wanted[i]).epsilon(3e-6));
  CHECK(negative_probabilities(kRow, 1e-6) == std::vector<double>{1, 0, 0, 0});
  CHECK(negative_probabilities({.5, .5, .1}, 0) == std::vector<double>{.5, .5, 0});
  CHECK(negative_probabilities(kRow, INFINITY) == std::vector<double>{.25, .25, .25, .25});
}

TEST_CASE("hard negatives: drawn with the probabilities of the softmax, one after the other") {
  std::vector<double> p = negative_probabilities(kRow, .3), first = frequencies(kRow, 1, .3), two = frequencies(kRow, 2, .3);
  for (size_t i = 0; i < 4; ++i) {
    CHECK(std::abs(first[i] - p[i]) < .01);
    double second = 0;  // i after j ≠ i, of what is left
    for (size_t j = 0; j < 4; ++j)
      if (j != i) second += p[j] * p[i] / (1 - p[j]);
    CHECK(std::abs(two[i] - p[i] - second) < .01);
  }
}

TEST_CASE("hard negatives: uniform as the temperature grows, the hardest as it vanishes") {
  for (double f : frequencies(kRow, 2, 1e9)) CHECK(std::abs(f - .5) < .01);
  for (double f : frequencies(kRow, 2, INFINITY)) CHECK(std::abs(f - .5) < .01);
  CHECK(frequencies(kRow, 2, 1e-6)[2] == 0);
  Generator g(1);
  CHECK(sample_without_replacement(kRow, 2, 0, g) == std::vector<int64_t>{0, 1});
  std::vector<int64_t> cold = sample_without_replacement(kRow, 3, 1e-6, g);
  CHECK(cold == std::vector<int64_t>{0, 1, 3});
}

TEST_CASE("hard negatives: the temperature falls from one end to the other") {
  TemperatureSchedule linear{.start = .1, .end = .01}, geometric{.start = .1, .end = .001, .geometric = true};
  CHECK(linear(0) == doctest::Approx(.1));
  CHECK(linear(.5) == doctest::Approx(.055));
  CHECK(linear(1) == doctest::Approx(.01));
  CHECK(geometric(.5) == doctest::Approx(.01));
  CHECK(linear(2) == linear(1));
  // The curriculum: what is drawn grows harder.
  HardNegativeSampler sampler(example(), negative_candidates(example()), 1, {.start = 10, .end = .01});
  Generator g(5);
  double early = 0, late = 0;
  for (int i = 0; i < 2000; ++i) {
    early += sampler(0, 0, g)[0] == 1 ? 1 : 0;
    late += sampler(0, 1, g)[0] == 1 ? 1 : 0;
  }
  CHECK(early / 2000 == doctest::Approx(.25).epsilon(.2));
  CHECK(late == 2000);  // .80 against .60 at τ = 0.01: e^−20
}

TEST_CASE("hard negatives: a query with too few candidates leaves places that count for nobody") {
  HardNegativeSampler sampler(example(), negative_candidates(example()), 3);
  Generator g(2);
  std::vector<int64_t> drawn = sampler(1, .5, g);
  CHECK(std::set<int64_t>(drawn.begin(), drawn.end()) == std::set<int64_t>{0, 3, kNoDocument});
  RankingBatch batch = ranking_batch({1, 4}, {{0, kNoDocument}, {3, 0}});
  CHECK(batch.document == std::vector<int64_t>{1, 0, 1, 4, 3, 0});
  CHECK(to_vector<int64_t>(batch.label) == std::vector<int64_t>{0, 3});  // i (H + 1), not i
  CHECK(to_vector<int64_t>(batch.allowed) == std::vector<int64_t>{1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 1, 1});
}

TEST_CASE("hard negatives: two queries with one text are no negatives of each other") {
  RankingBatch batch = ranking_batch({0, 1, 2}, {{}, {}, {}}, {5, 5, 6});
  CHECK(to_vector<int64_t>(batch.allowed) == std::vector<int64_t>{1, 0, 1, 0, 1, 1, 1, 1, 1});
}

TEST_CASE("hard negatives: bad input is named") {
  Generator g(1);
  CHECK_THROWS_WITH_AS(negative_candidates(example(), {.gamma = 1.5}), "negative_candidates: gamma must be in (0, 1], it is 1.5",
                       ValueError);
  CHECK_THROWS_WITH_AS(negative_candidates(example(), {.gamma = 0}), "negative_candidates: gamma must be in (0, 1], it is 0", ValueError);
  CHECK_THROWS_WITH_AS(negative_candidates(zeros({3, 2})), "negative_candidates: takes similarities [n, m] with n ≤ m, got [3, 2]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(negative_candidates(example(), {.document = {1}}), "negative_candidates: contents of 1 documents for 5 columns",
                       ShapeError);
  CHECK_THROWS_WITH_AS(negative_probabilities({}, 1), "negative_probabilities: there are no candidates", ValueError);
  CHECK_THROWS_WITH_AS(negative_probabilities({1}, -1), "negative_probabilities: the temperature must not be negative, it is -1",
                       ValueError);
  CHECK_THROWS_WITH_AS(sample_without_replacement({1}, -2, 1, g), "sample_without_replacement: count must not be negative, it is -2",
                       ValueError);
  auto candidates = negative_candidates(example());
  CHECK_THROWS_WITH_AS(HardNegativeSampler(example(), candidates, 2, {.start = .1, .end = .2}),
                       "hard_negatives: temperatures must fall and not be negative, they go from 0.1 to 0.2", ValueError);
  CHECK_THROWS_WITH_AS(HardNegativeSampler(example(), {{1}}, 2), "hard_negatives: candidates of 1 rows for similarities [5, 5]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(HardNegativeSampler(example(), {{1}, {7}, {}, {}, {}}, 2), "hard_negatives: candidate 7 of row 1 is outside [0, 5)",
                       IndexError);
  CHECK_THROWS_WITH_AS(HardNegativeSampler(example(), candidates, 2)(5, 0, g), "hard_negatives: row 5 is outside [0, 5)", IndexError);
  CHECK_THROWS_WITH_AS(ranking_batch({1, 2}, {{3}}), "ranking_batch: negatives of 1 queries for 2 positives", ShapeError);
  CHECK_THROWS_WITH_AS(ranking_batch({1, 2}, {{3}, {}}), "ranking_batch: query 1 has 0 negatives, the first has 1", ShapeError);
  CHECK_THROWS_WITH_AS(ranking_batch({1}, {{}}, {0}), "ranking_batch: document 1 is outside [0, 1)", IndexError);
}
