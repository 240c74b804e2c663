// Plans of who goes where, against plain loops: order, capacity, dispatch and combination, statistics.
#include "models/moe/routing.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::moe;

namespace {

struct Pair {
  int64_t token, expert;
  double weight;
};

// The definition: first choices before second ones, earlier tokens before later ones, as long as the expert has room; then by expert.
std::vector<Pair> planned(const Tensor& expert, const Tensor& weight, int64_t experts, int64_t capacity) {
  auto e = to_vector<int64_t>(expert);
  auto w = to_vector(weight);
  int64_t tokens = expert.size(0), k = expert.size(1);
  std::vector<std::vector<Pair>> of(static_cast<size_t>(experts));
  for (int64_t j = 0; j < k; ++j)
    for (int64_t n = 0; n < tokens; ++n) {
      auto place = static_cast<size_t>(n * k + j);
      auto& own = of[static_cast<size_t>(e[place])];
      if (capacity == 0 || static_cast<int64_t>(own.size()) < capacity) own.push_back({n, e[place], w[place]});
    }
  std::vector<Pair> all;
  for (auto& own : of) all.insert(all.end(), own.begin(), own.end());
  return all;
}

// k different experts for each token, drawn.
Tensor choices(int64_t tokens, int64_t k, int64_t experts, uint64_t seed) {
  Generator g(seed);
  std::vector<int64_t> all;
  while (static_cast<int64_t>(all.size()) < tokens * k) {
    auto own = all.end() - static_cast<int64_t>(all.size()) % k;  // those of this token so far
    auto e = static_cast<int64_t>(g.next_below(static_cast<uint64_t>(experts)));
    if (std::find(own, all.end(), e) == all.end()) all.push_back(e);
  }
  return from_vector(all, {tokens, k});
}

}  // namespace

TEST_CASE("routing: pairs are sorted by expert, in order of precedence, and cut at capacity") {
  for (auto [tokens, k, experts] : {std::array<int64_t, 3>{20, 2, 5}, {7, 1, 3}, {1, 3, 3}, {0, 2, 4}, {50, 3, 4}})
    for (int64_t capacity : {0, 1, 3, 100}) {
      Tensor expert = choices(tokens, k, experts, 3), weight = test::sample({tokens, k}, 4);
      Routing r = route_tokens(expert, weight, experts, capacity);
      std::vector<Pair> plan = planned(expert, weight, experts, capacity);
      auto token = to_vector<int64_t>(r.token), own = to_vector<int64_t>(r.expert), offsets = to_vector<int64_t>(r.offsets),
           chosen = to_vector<int64_t>(r.chosen);
      auto weights = to_vector(r.weight);
      REQUIRE(token.size() == plan.size());
      for (size_t i = 0; i < plan.size(); ++i) {
        CHECK(token[i] == plan[i].token);
        CHECK(own[i] == plan[i].expert);
        CHECK(weights[i] == plan[i].weight);
      }
      REQUIRE(offsets.size() == static_cast<size_t>(experts) + 1);
      CHECK(offsets.front() == 0);
      CHECK(offsets.back() == static_cast<int64_t>(plan.size()));
      int64_t asked = 0;
      for (size_t e = 0; e < chosen.size(); ++e) {
        asked += chosen[e];
        CHECK(offsets[e + 1] - offsets[e] == (capacity == 0 ? chosen[e] : std::min(chosen[e], capacity)));
      }
      CHECK(asked == tokens * k);
    }
}

TEST_CASE("routing: experts that choose take their tokens in the order given") {
  Routing r = route_experts(tensor({{2, 0}, {2, 3}, {1, 2}}), tensor({{0.5, 0.1}, {0.2, 0.3}, {0.4, 0.6}}), 5);
  CHECK(to_vector<int64_t>(r.token) == std::vector<int64_t>{2, 0, 2, 3, 1, 2});
  CHECK(to_vector<int64_t>(r.expert) == std::vector<int64_t>{0, 0, 1, 1, 2, 2});
  CHECK(to_vector<int64_t>(r.offsets) == std::vector<int64_t>{0, 2, 4, 6});
  RoutingStatistics s = statistics(r);
  CHECK(s.unrouted == doctest::Approx(0.2));
  CHECK(s.dropped == 0);
  CHECK(s.evenness == doctest::Approx(1));
}

TEST_CASE("routing: what is dispatched and combined is the weighed sum over a token's experts; gradients go the same way back") {
  Tensor expert = choices(9, 2, 4, 5), x = test::sample({9, 3}, 6).requires_grad_(), w = test::sample({9, 2}, 7).requires_grad_();
  for (int64_t capacity : {0, 3}) {
    Routing r = route_tokens(expert, w, 4, capacity);
    Tensor rows = dispatch(x, r), y = combine(rows * 2.0, r);
    std::vector<double> expected(27), xs = to_vector(x);
    for (const Pair& p : planned(expert, w, 4, capacity))
      for (size_t c = 0; c < 3; ++c)
        expected[static_cast<size_t>(p.token) * 3 + c] += 2 * p.weight * xs[static_cast<size_t>(p.token) * 3 + c];
    CHECK(test::difference(y, from_vector(expected, {9, 3})) < 1e-14);
    auto both = test::gradients(y, {x, w}, true);
    auto loss = [&](const Tensor& xv, const Tensor& wv) {
      Routing again = route_tokens(expert, wv, 4, capacity);
      return combine(dispatch(xv, again) * 2.0, again);
    };
    CHECK(test::difference(both[0], test::numeric_gradient([&](const Tensor& v) { return loss(v, w.detach()); }, x.detach())) < 1e-7);
    CHECK(test::difference(both[1], test::numeric_gradient([&](const Tensor& v) { return loss(x.detach(), v); }, w.detach())) < 1e-7);
  }
}

TEST_CASE("routing: statistics count shares, drops and tokens left alone") {
  Tensor expert = tensor({{0}, {0}, {0}, {2}}), weight = ones({4, 1});
  RoutingStatistics s = statistics(route_tokens(expert, weight, 4, 2));
  CHECK(s.share == std::vector<double>{0.75, 0, 0.25, 0});
  CHECK(s.dropped == doctest::Approx(0.25));
  CHECK(s.unrouted == doctest::Approx(0.25));
  CHECK(s.evenness == doctest::Approx(-(0.75 * std::log(0.75) + 0.25 * std::log(0.25)) / std::log(4.0)));
  CHECK(std::isnan(s.gate_entropy));
  Routing r = route_tokens(expert, weight, 4);
  r.probability = tensor({{0.5, 0.5, 0.0, 0.0}, {1.0, 0.0, 0.0, 0.0}, {0.25, 0.25, 0.25, 0.25}, {1.0, 0.0, 0.0, 0.0}});
  CHECK(statistics(r).gate_entropy == doctest::Approx((std::log(2.0) + std::log(4.0)) / 4));
}

TEST_CASE("routing: what does not fit is named") {
  CHECK_THROWS_WITH_AS(route_tokens(tensor({{0, 4}}), ones({1, 2}), 4), "group_by: index 4 is outside [0, 4)", IndexError);
  CHECK_THROWS_AS(route_tokens(tensor({{0, -1}}), ones({1, 2}), 4), IndexError);
  CHECK_THROWS_WITH_AS(route_tokens(tensor({{0, 1}}), ones({2, 1}), 4),
                       "route_tokens: takes experts and weights [N, k], got [1, 2] and [2, 1]", ShapeError);
  CHECK_THROWS_WITH_AS(route_experts(tensor({0, 1}), ones({2}), 4), "route_experts: takes tokens and weights [E, C], got [2] and [2]",
                       ShapeError);
}
