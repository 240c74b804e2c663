// Any-order models held against a table of all probabilities: losses, likelihoods, samples, and the perceptron over symbols.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "models/any_order/any_order.h"
#include "models/any_order/symbol_mlp.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/models/any_order/table.h"

using namespace plumb;
using namespace plumb::any_order;

TEST_CASE("any_order: the loss at t scores the positions of rank t and above, weighted D / (D − t)") {
  int calls = 0;
  Tensor seen;
  Conditionals halves = [&](const Tensor& x) {
    ++calls;
    seen = x;
    return zeros({x.size(0), x.size(1), 2}, f64);  // every conditional is 1/2
  };
  Tensor x = tensor({{2, 1, 2, 1}, {1, 1, 2, 2}}), rank = tensor({{3, 0, 1, 2}, {0, 1, 2, 3}});
  for (int64_t t = 0; t < 4; ++t) {
    auto loss = to_vector(losses(halves, x, rank, full({2}, t, i64)));
    // D/(D − t) · (D − t) positions of log 2 each
    for (double v : loss) CHECK(v == doctest::Approx(4 * std::log(2.0)).epsilon(1e-12));
    CHECK(to_vector<int64_t>(sum(seen != 0, {1})) == std::vector<int64_t>{t, t});
  }
  CHECK(calls == 4);
  // one position is certain, all others 1/2: t = 3 has weight D and scores that of the highest rank alone, t = 0 weight 1 and all four
  Conditionals sure = [](const Tensor& y) {
    Tensor logits = zeros({y.size(0), 4, 2}, f64);
    Tensor first = select(logits, 1, 0);
    copy_(first, tensor({{0.0, 40.0}}, f64));  // x_0 = 2
    return logits;
  };
  CHECK(to_vector(losses(sure, x, rank, full({2}, 3, i64)))[0] == doctest::Approx(0).epsilon(1e-12));
  CHECK(to_vector(losses(sure, x, rank, full({2}, 3, i64)))[1] == doctest::Approx(4 * std::log(2.0)).epsilon(1e-12));
  CHECK(to_vector(losses(sure, x, rank, full({2}, 0, i64)))[0] == doctest::Approx(3 * std::log(2.0)).epsilon(1e-12));
}

TEST_CASE("any_order: over all t and orders the loss is the exact log-likelihood, for a consistent table and for an inconsistent one") {
  test::Table table(2, 2, 5);
  // conditionals that no joint distribution has: p(x_0) and p(x_1 | x_0) from the table, p(x_1) and p(x_0 | x_1) from another one
  test::Table other(2, 2, 6);
  Conditionals mixed = [&](const Tensor& x) {
    Tensor a = table.conditionals()(x), b = other.conditionals()(x), second = unsqueeze(unsqueeze(select(x, 1, 1) > 0, 1), 2);
    Tensor first_unknown = unsqueeze(unsqueeze(select(x, 1, 0) == 0, 1), 2), nothing = logical_and(logical_not(second), first_unknown);
    Tensor column = reshape(tensor({0, 1}), {1, 2, 1});
    Tensor use_other = logical_or(second, logical_and(nothing, column == 1));
    return where(use_other, b, a);
  };
  for (const Conditionals& model : {table.conditionals(), mixed})
    for (int64_t state = 0; state < 4; ++state) {
      Tensor x = table.row(state);
      double estimate = 0, exact = 0;
      for (const Tensor& rank : {tensor({{0, 1}}), tensor({{1, 0}})}) {
        for (int64_t t = 0; t < 2; ++t) estimate -= losses(model, x, rank, full({1}, t, i64)).item() / 4;
        exact += log_likelihood(model, x, rank).item() / 2;
      }
      CHECK(estimate == doctest::Approx(exact).epsilon(1e-12));
    }
  CHECK(log_likelihood(table.conditionals(), table.row(3), tensor({{1, 0}})).item() ==
        doctest::Approx(std::log(table.p[3])).epsilon(1e-12));
}

TEST_CASE("any_order: the likelihood of several orders is their mean likelihood") {
  test::Table table(3, 2, 7);
  Generator g(3);
  CHECK(log_likelihood(table.conditionals(), table.row(5), 4, g).item() == doctest::Approx(std::log(table.p[5])).epsilon(1e-12));
  CHECK_THROWS_WITH_AS(log_likelihood(table.conditionals(), table.row(5), 0, g),
                       "any_order log_likelihood: orders must be at least 1, they are 0", ValueError);
}

TEST_CASE("any_order: orders are permutations, all equally likely, and known variables can come first") {
  Generator g(4);
  constexpr int64_t n = 6000;
  Tensor rank = random_ranks(n, 3, g);
  check_ranks("test", rank, rank);
  std::vector<int64_t> all = to_vector<int64_t>(rank);
  std::vector<int> counts(27);
  for (int64_t b = 0; b < n; ++b)
    ++counts[static_cast<size_t>(9 * all[static_cast<size_t>(3 * b)] + 3 * all[static_cast<size_t>(3 * b + 1)] +
                                 all[static_cast<size_t>(3 * b + 2)])];
  int permutations = 0;
  for (int c : counts) {
    if (c == 0) continue;
    ++permutations;
    CHECK(std::abs(c - 1000) < 150);  // 5 standard deviations of 29
  }
  CHECK(permutations == 6);
  Tensor x = tensor({{0, 2, 0, 1}, {1, 0, 0, 0}}), first = ranks_from_known(x, g);
  check_ranks("test", x, first);
  CHECK(to_vector<int64_t>(sum(where(x > 0, first, 0), {1})) == std::vector<int64_t>{1, 0});  // ranks 0 and 1; rank 0
}

TEST_CASE("any_order: filling keeps what is known, draws the rest as the table says, and tells its probability") {
  test::Table table(3, 2, 8);
  Generator g(5);
  constexpr int64_t n = 20'000;
  Tensor given = contiguous(expand(tensor({{0, 2, 0}}), {n, 3}));
  Filled filled = fill(table.conditionals(), given, random_ranks(n, 3, g), g);
  std::vector<double> counts(8), share(8);
  std::vector<double> log_prob = to_vector(filled.log_prob);
  double known = table.p[2] + table.p[3] + table.p[6] + table.p[7];
  for (int64_t b = 0; b < n; ++b) {
    auto state = static_cast<size_t>(table.state_of(narrow(filled.x, 0, b, 1)));
    counts[state] += 1.0 / n;
    if (b < 100) CHECK(log_prob[static_cast<size_t>(b)] == doctest::Approx(std::log(table.p[state] / known)).epsilon(1e-10));
  }
  for (size_t state = 0; state < 8; ++state) {
    bool possible = (state & 2) != 0;  // variable 1 is symbol 2
    CHECK(std::abs(counts[state] - (possible ? table.p[state] / known : 0)) < 5 * std::sqrt(0.25 / n));
  }
  CHECK(to_vector(fill(table.conditionals(), table.row(6), forward_ranks(1, 3), g).log_prob) == std::vector<double>{0});
}

TEST_CASE("any_order: redrawing erases the highest ranks and leaves the others") {
  test::Table table(3, 2, 9);
  Generator g(6);
  Tensor x = contiguous(expand(tensor({{2, 1, 2}}), {400, 3})), rank = random_ranks(400, 3, g);
  Tensor y = redraw(table.conditionals(), x, rank, 2, g), kept = rank < 1;
  CHECK(sum(logical_and(kept, x != y)).item() == 0);
  CHECK(sum(x != y).item() > 100);
  CHECK(sum(y == 0).item() == 0);
  CHECK(sum(redraw(table.conditionals(), x, rank, 0, g) != x).item() == 0);
  CHECK_THROWS_WITH_AS(redraw(table.conditionals(), x, rank, 4, g), "any_order redraw: 4 variables cannot be redrawn of 3", ValueError);
}

TEST_CASE("any_order: symbols, ranks and steps outside their ranges are named") {
  test::Table table(3, 2, 10);
  Conditionals plain = [](const Tensor& x) { return zeros({x.size(0), 3, 2}, f64); };
  Tensor x = tensor({{1, 2, 1}}), rank = tensor({{0, 1, 2}}), t = tensor({0});
  CHECK_THROWS_WITH_AS(losses(plain, tensor({{1, 3, 1}}), rank, t), "any_order losses: symbols lie in 1...2, one is 3", ValueError);
  CHECK_THROWS_WITH_AS(losses(plain, tensor({{1, 0, 1}}), rank, t), "any_order losses: symbols lie in 1...2, one is 0", ValueError);
  CHECK_THROWS_WITH_AS(losses(plain, x, tensor({{0, 1, 1}}), t), "any_order losses: ranks of row 0 are no permutation: 1 occurs twice",
                       ValueError);
  CHECK_THROWS_WITH_AS(losses(plain, x, tensor({{0, 1, 3}}), t), "any_order losses: ranks of row 0 are no permutation: 3 is outside [0, 3)",
                       ValueError);
  CHECK_THROWS_WITH_AS(losses(plain, x, rank, tensor({3})), "any_order losses: t must lie in [0, 3), one is 3", ValueError);
  CHECK_THROWS_WITH_AS(losses(plain, x, tensor({{0, 1}}), t), "any_order losses: ranks are [1, 2], symbols [1, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(fill(plain, tensor({{0, 4, 0}}), rank), "any_order fill: symbols lie in 0...2, one is 4", ValueError);
}

TEST_CASE("symbol_mlp: residual layers over one-hot symbols, position by position") {
  manual_seed(1);
  SymbolMlp network({.variables = 2, .symbols = 2, .width = 4, .layers = 2, .outputs = 3});
  network.to(f64);
  auto p = network.state();
  auto layer = [&](const std::string& name, const std::vector<double>& in) {
    std::vector<double> w = to_vector(p.at(name + ".weight")), out = to_vector(p.at(name + ".bias"));
    for (size_t o = 0; o < out.size(); ++o)
      for (size_t i = 0; i < in.size(); ++i) out[o] += w[o * in.size() + i] * in[i];
    return out;
  };
  auto leaky = [](std::vector<double> v) {
    for (double& a : v) a = a < 0 ? 0.01 * a : a;
    return v;
  };
  std::vector<double> h = leaky(layer("input", {0, 0, 1, 1, 0, 0}));  // symbol 2, then missing: entry j (K + 1) + symbol
  std::vector<double> more = leaky(layer("hidden.0", h));
  for (size_t i = 0; i < h.size(); ++i) h[i] += more[i];
  std::vector<double> y = layer("output", h), got = to_vector(network(tensor({{2, 0}})));
  for (size_t i = 0; i < y.size(); ++i) CHECK(got[i] == doctest::Approx(y[i]).epsilon(1e-12));
  CHECK_THROWS_WITH_AS(network(tensor({{1, 1, 1}})), "symbol_mlp: takes symbols [B, 2], got [1, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(SymbolMlp({.variables = 0}),
                       "symbol_mlp: sizes must be positive, got 0 variables, 2 symbols, 3 layers of 256 and 1 outputs", ValueError);
}
