// Measures of rankings, counted by hand.
#include "models/metrics/retrieval.h"

#include <doctest/doctest.h>

#include <cmath>

using namespace plumb;
using namespace plumb::metrics;

namespace {
// Positives at places 1, 2 and 4 of five documents; a query without positives is left out.
Tensor scores() {
  return tensor({{5.0, 4.0, 3.0, 2.0, 1.0}, {5.0, 4.0, 3.0, 2.0, 1.0}, {1.0, 2.0, 3.0, 4.0, 5.0}, {1.0, 2.0, 3.0, 4.0, 5.0}});
}
Tensor relevance() { return tensor({{1, 0, 0, 0, 0}, {0, 1, 0, 0, 0}, {0, 1, 0, 0, 0}, {0, 0, 0, 0, 0}}); }
}  // namespace

TEST_CASE("retrieval: one positive at places 1, 2 and 4") {
  CHECK(mean_reciprocal_rank(scores(), relevance()) == doctest::Approx((1 + 0.5 + 0.25) / 3));
  CHECK(mean_reciprocal_rank(scores(), relevance(), 3) == doctest::Approx((1 + 0.5 + 0) / 3));
  CHECK(ndcg_at_k(scores(), relevance()) == doctest::Approx((1 + 1 / std::log2(3.0) + 1 / std::log2(5.0)) / 3));
  CHECK(recall_at_k(scores(), relevance(), 2) == doctest::Approx(2.0 / 3));
  CHECK(hit_rate_at_k(scores(), relevance(), 4) == 1);
  CHECK(precision_at_k(scores(), relevance(), 2) == doctest::Approx(1.0 / 3));
  CHECK(mean_average_precision(scores(), relevance()) == doctest::Approx((1 + 0.5 + 0.25) / 3));  // with one positive AP is 1 / place
}

TEST_CASE("retrieval: several positives, graded relevance, the best order") {
  Tensor s = tensor({{4.0, 3.0, 2.0, 1.0}}), r = tensor({{3.0, 0.0, 1.0, 2.0}}, f64);
  double dcg = 3 + 1 / std::log2(4.0) + 2 / std::log2(5.0), best = 3 + 2 / std::log2(3.0) + 1 / std::log2(4.0);
  CHECK(ndcg_at_k(s, r) == doctest::Approx(dcg / best));
  CHECK(ndcg_at_k(s, r, 2) == doctest::Approx(3 / (3 + 2 / std::log2(3.0))));
  CHECK(ndcg_at_k(r, r) == doctest::Approx(1));
  CHECK(recall_at_k(s, r, 3) == doctest::Approx(2.0 / 3));
  CHECK(mean_average_precision(s, r) == doctest::Approx((1 + 2.0 / 3 + 3.0 / 4) / 3));
  CHECK(mean_average_precision(s, r, 2) == doctest::Approx(1.0 / 2));
}

TEST_CASE("retrieval: ties keep the order, left-out documents count nothing") {
  CHECK(rankings(tensor({{1.0, 1.0, 2.0, 1.0}}))[0] == std::vector<int64_t>{2, 0, 1, 3});
  Tensor s = tensor({{-INFINITY, 3.0, 2.0, -INFINITY}}, f64);
  CHECK(rankings(s)[0] == std::vector<int64_t>{1, 2});
  CHECK(mean_reciprocal_rank(s, tensor({{true, false, true, false}})) == doctest::Approx(0.5));
  CHECK(recall_at_k(s, tensor({{true, false, true, false}}), 2) == 1);
  CHECK(std::isnan(recall_at_k(s, tensor({{true, false, false, true}}), 2)));  // nothing left to find
}

TEST_CASE("retrieval: a relevance below 0 gains nothing") {
  Tensor s = tensor({{3.0, 2.0, 1.0}});
  CHECK(ndcg_at_k(s, tensor({{-5.0, 1.0, 0.0}})) == doctest::Approx(ndcg_at_k(s, tensor({{0.0, 1.0, 0.0}}))));
}

TEST_CASE("retrieval: bad input is named") {
  CHECK_THROWS_WITH_AS(recall_at_k(scores(), relevance(), 0), "recall_at_k: k must be at least 1, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(ndcg_at_k(scores(), zeros({3})), "ndcg_at_k: takes scores and relevance [Q, D], got [4, 5] and [3]", ShapeError);
  CHECK_THROWS_WITH_AS(rankings(tensor({{1.0, NAN}})), "rankings: score (0, 1) is NaN", ValueError);
}
