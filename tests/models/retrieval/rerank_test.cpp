// Reranking: the sliding window with an oracle, losses over lists by plain loops, a scorer that learns an order, and measures of rankings.
#include "models/retrieval/rerank.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "models/metrics/retrieval.h"
#include "models/optim/adam.h"
#include "ops/gradcheck.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/sort.h"

using namespace plumb;
using namespace plumb::retrieval;

namespace {

// Documents by number: the smaller, the better.
std::vector<int64_t> oracle(const std::vector<int64_t>& documents) {
  std::vector<double> scores;
  for (int64_t d : documents) scores.push_back(-static_cast<double>(d));
  return order_by(scores);
}

}  // namespace

TEST_CASE("sliding window: after one pass of an oracle the best five of a hundred stand first, in order") {
  Generator g(9);
  for (int trial = 0; trial < 5; ++trial) {
    std::vector<int64_t> ranking = to_vector<int64_t>(randperm(100, {.dtype = i64, .generator = &g}));
    int calls = 0;
    std::vector<int64_t> after = sliding_window_rerank(ranking, 10, 5, [&](const std::vector<int64_t>& window) {
      ++calls;
      CHECK(window.size() == 10);
      return oracle(window);
    });
    CHECK(std::vector<int64_t>(after.begin(), after.begin() + 5) == std::vector<int64_t>{0, 1, 2, 3, 4});
    CHECK(calls == 19);  // [90, 100), [85, 95), … [0, 10)
    std::ranges::sort(after);
    CHECK(after[99] == 99);
  }
}

TEST_CASE("sliding window: the last window may be shorter, a short list is one window, an empty one none") {
  std::vector<size_t> sizes;
  auto note = [&](const std::vector<int64_t>& window) {
    sizes.push_back(window.size());
    return oracle(window);
  };
  CHECK(sliding_window_rerank({6, 5, 4, 3, 2, 1, 0}, 4, 2, note) == std::vector<int64_t>{0, 1, 6, 4, 5, 2, 3});
  CHECK(sizes == std::vector<size_t>{4, 4, 3});
  sizes.clear();
  CHECK(sliding_window_rerank({2, 0, 1}, 10, 5, note) == std::vector<int64_t>{0, 1, 2});
  CHECK(sizes == std::vector<size_t>{3});
  CHECK(sliding_window_rerank({}, 10, 5, note).empty());
  CHECK_THROWS_WITH_AS(sliding_window_rerank({1, 2}, 2, 3, note),
                       "sliding_window_rerank: takes 1 ≤ step ≤ window, got a window of 2 and a step of 3", ValueError);
  CHECK_THROWS_WITH_AS(sliding_window_rerank({1, 2}, 2, 1,
                                             [](const std::vector<int64_t>&) {
                                               return std::vector<int64_t>{0, 0};
                                             }),
                       "sliding_window_rerank: the order of places 0 … 1 is no permutation", ValueError);
}

TEST_CASE("list losses: ListNet and RankNet by plain loops, with right gradients") {
  std::vector<std::vector<double>> s{{.3, -1.2, .8}, {2.0, .1, .4}}, t{{1, 0, 3}, {0, 2, 1}};
  std::vector<std::vector<int64_t>> order{{2, 0, 1}, {1, 2, 0}};
  double list = 0, rank = 0;
  for (size_t l = 0; l < 2; ++l) {
    double zs = 0, zt = 0;
    for (size_t j = 0; j < 3; ++j) {
      zs += std::exp(s[l][j]);
      zt += std::exp(t[l][j]);
    }
    for (size_t j = 0; j < 3; ++j) list -= std::exp(t[l][j]) / zt * (s[l][j] - std::log(zs)) / 2;
    for (size_t a = 0; a < 3; ++a)
      for (size_t b = a + 1; b < 3; ++b)
        rank += std::log1p(std::exp(s[l][static_cast<size_t>(order[l][b])] - s[l][static_cast<size_t>(order[l][a])])) / 2;
  }
  Tensor scores = tensor({{.3, -1.2, .8}, {2.0, .1, .4}}, f64), teacher = tensor({{1.0, 0.0, 3.0}, {0.0, 2.0, 1.0}}, f64),
         places = tensor({{2, 0, 1}, {1, 2, 0}});
  CHECK(list_net_loss(scores, teacher).item() == doctest::Approx(list).epsilon(1e-10));
  CHECK(rank_net_loss(scores, places).item() == doctest::Approx(rank).epsilon(1e-10));
  CHECK(
      gradcheck([&](const std::vector<Tensor>& x) { return list_net_loss(x[0], teacher) + rank_net_loss(x[0], places); }, {scores}).passed);
  CHECK_THROWS_WITH_AS(list_net_loss(scores, zeros({2, 2})), "list_net_loss: takes scores and teacher [L, n], got [2, 3] and [2, 2]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(rank_net_loss(scores, tensor({{2, 0, 1}, {1, 1, 0}})),
                       "rank_net_loss: the order of list 1 is no permutation of 0 … 2", ValueError);
}

TEST_CASE("pair scorer: learns a teacher's order from lists, and the sliding window uses it") {
  manual_seed(3);
  PairScorer scorer({.width = 8, .features = 1, .hidden = 16});
  Tensor q = randn({12, 1, 8}), d = randn({12, 6, 8}), f = randn({12, 6, 1});
  Tensor teacher = squeeze(f, 2) * 2.0;  // the feature says it
  Tensor query = contiguous(expand(q, {12, 6, 8})), order = argsort(teacher, 1, true);
  optim::Adam adam(scorer.parameters(), {.lr = 1e-2});
  auto loss = [&] { return rank_net_loss(scorer(query, d, f), order) + list_net_loss(scorer(query, d, f), teacher); };
  double before = loss().item();
  for (int step = 0; step < 60; ++step) {
    adam.zero_grad();
    loss().backward();
    adam.step();
  }
  CHECK(loss().item() < before / 2);
  CHECK_THROWS_WITH_AS(scorer(q, d, f),
                       "pair_scorer: takes query and document [.., 8] and features [.., 1], got [12, 1, 8], [12, 6, 8] and [12, 6, 1]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(PairScorer({.hidden = 0}), "pair_scorer: hidden must be at least 1, it is 0", ConfigError);
}

TEST_CASE("measures of rankings: positives at places 1, 2, 4 and beyond the last one that counts") {
  Tensor scores = zeros({4, 5}), relevance = zeros({4, 5});
  std::vector<int64_t> place{1, 2, 4, 5};
  for (int64_t i = 0; i < 4; ++i)
    for (int64_t j = 0; j < 5; ++j) {
      scores.data<float>()[i * 5 + j] = static_cast<float>(5 - j);
      relevance.data<float>()[i * 5 + j] = j + 1 == place[static_cast<size_t>(i)] ? 1.0f : 0.0f;
    }
  CHECK(metrics::mean_reciprocal_rank(scores, relevance, 4) == doctest::Approx(.4375));
  CHECK(metrics::ndcg_at_k(narrow(scores, 0, 2, 1), narrow(relevance, 0, 2, 1), 10) == doctest::Approx(1 / std::log2(1 + 4.0)));
  CHECK(metrics::recall_at_k(scores, relevance, 2) == doctest::Approx(.5));
}
