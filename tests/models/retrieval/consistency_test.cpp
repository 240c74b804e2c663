// The dual consistency filter: the worked example, ties, shards, and what is refused.
#include "models/retrieval/consistency.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "models/retrieval/tf_idf.h"
#include "ops/index.h"
#include "ops/random.h"

using namespace plumb;
using namespace plumb::retrieval;

namespace {

Tensor example() {
  return tensor(
      {{.85, .80, .60, .30, .55}, {.40, .72, .69, .20, .71}, {.90, .88, .82, .86, .10}, {.2, .3, .1, .65, .3}, {.5, .4, .74, .6, .75}},
      f64);
}

}  // namespace

TEST_CASE("consistency filter: ranks, scores and what is kept of five pairs") {
  PositiveScores scores = positive_scores(example());
  CHECK(scores.rank == std::vector<int64_t>{0, 0, 3, 0, 0});
  CHECK(scores.score == std::vector<double>{.85, .72, .82, .65, .75});
  CHECK(to_vector<int64_t>(consistency_filter(example())) == std::vector<int64_t>{1, 1, 0, 0, 1});  // 2 fails by its rank, 3 by its score
  CHECK(to_vector<int64_t>(consistency_filter(scores, {.max_rank = 4, .min_score = .8})) == std::vector<int64_t>{1, 0, 1, 0, 0});
}

TEST_CASE("consistency filter: a tie does not raise the rank, and the loosest filter keeps all") {
  CHECK(positive_scores(tensor({{.5, .5, .5}, {.6, .5, .5}, {.5, .6, .6}}, f64)).rank == std::vector<int64_t>{0, 1, 0});
  CHECK(to_vector<int64_t>(consistency_filter(example(), {.max_rank = 5, .min_score = -1})) == std::vector<int64_t>{1, 1, 1, 1, 1});
}

TEST_CASE("consistency filter: in both directions a query must be its document's best, too") {
  // Column 0 holds .90 above .85, column 3 holds .86 above .65; among documents both are first.
  CHECK(positive_scores(example(), true).rank == std::vector<int64_t>{1, 2, 3, 1, 0});
}

TEST_CASE("consistency filter: shards cover every pair once, and one shard is the whole") {
  Generator g(3);
  Tensor s = rand({23, 23}, {.dtype = f64, .generator = &g});
  auto part = [&](const std::vector<int64_t>& places) {
    Tensor at = from_vector(places);
    return index_select(index_select(s, 0, at), 1, at);
  };
  PositiveScores whole = positive_scores(s), one = sharded_positive_scores(23, 23, part, g), few = sharded_positive_scores(23, 5, part, g);
  CHECK(one.rank == whole.rank);
  CHECK(few.score == whole.score);  // each pair's own score stands at its own place
  int64_t sum_few = 0, sum_whole = 0, largest = 0;
  for (size_t i = 0; i < 23; ++i) {
    CHECK(few.rank[i] <= whole.rank[i]);
    sum_few += few.rank[i];
    sum_whole += whole.rank[i];
    largest = std::max(largest, few.rank[i]);
  }
  CHECK(sum_few < sum_whole);
  CHECK(largest <= 5);  // 23 in 4 shards: none has more than 6 pairs
}

TEST_CASE("consistency filter: a threshold that leaves out a share of those that pass by rank") {
  PositiveScores scores{{0, 1, 0, 5, 0}, {.1, .2, .3, .01, .4}};
  CHECK(passing_score_quantile(scores, 2, 0) == .1);
  CHECK(passing_score_quantile(scores, 2, 1) == .4);
  CHECK(passing_score_quantile(scores, 2, .5) == doctest::Approx(.25));
}

TEST_CASE("consistency filter: bad input is named") {
  CHECK_THROWS_WITH_AS(positive_scores(zeros({2, 3})), "positive_scores: takes similarities [n, n], got [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(positive_scores(tensor({{1.0, NAN}, {0.0, 1.0}})), "positive_scores: similarity (0, 1) is NaN", ValueError);
  CHECK_THROWS_WITH_AS(consistency_filter(example(), {.max_rank = 2, .min_score = .9}),
                       "consistency_filter: none of 5 pairs has a rank below 2 and a score above 0.9; loosen one of them", ValueError);
  CHECK_THROWS_WITH_AS(consistency_filter(example(), {.max_rank = 0}), "consistency_filter: max_rank must be at least 1, it is 0",
                       ValueError);
  CHECK_THROWS_WITH_AS(passing_score_quantile({{3}, {.5}}, 2, .5), "passing_score_quantile: no pair has a rank below 2", ValueError);
  CHECK_THROWS_WITH_AS(passing_score_quantile({{0}, {.5}}, 2, 2), "passing_score_quantile: q must be in [0, 1], it is 2", ValueError);
  Generator g(1);
  auto none = [](const std::vector<int64_t>&) { return zeros({1, 1}); };
  CHECK_THROWS_WITH_AS(sharded_positive_scores(9, 1, none, g), "sharded_positive_scores: 9 pairs in shards of 1; at least 1 and 2",
                       ValueError);
  CHECK_THROWS_WITH_AS(sharded_positive_scores(9, 9, none, g), "sharded_positive_scores: similarities of 1 pairs for 9 places", ShapeError);
}

TEST_CASE("tf-idf: cosines by hand, unknown words, and rare words count most") {
  TfIdf index({{"a", "b", "b"}, {"a", "c"}, {"a"}});
  double a = 1 + std::log(4.0 / 4), b = 1 + std::log(4.0 / 2), c = b;  // df 3, 1, 1 of 3
  CHECK(index.idf("a") == doctest::Approx(a));
  CHECK(index.idf("c") == doctest::Approx(c));
  double bb = (1 + std::log(2.0)) * b;
  std::vector<double> got = to_vector(index.scores({{"b", "a"}, {"nothing"}}));
  CHECK(got[0] == doctest::Approx((a * a + b * bb) / (std::hypot(a, b) * std::hypot(a, bb))).epsilon(1e-6));
  CHECK(got[1] == doctest::Approx(a * a / (std::hypot(a, b) * std::hypot(a, c))).epsilon(1e-6));
  CHECK(got[2] == doctest::Approx(a / std::hypot(a, b)).epsilon(1e-6));
  for (size_t d = 3; d < 6; ++d) CHECK(got[d] == 0);
  CHECK_THROWS_WITH_AS(TfIdf({}), "tf_idf: there are no documents", ValueError);
  CHECK_THROWS_WITH_AS(index.idf("d"), "tf_idf: no document has the word \"d\"", ValueError);
}
