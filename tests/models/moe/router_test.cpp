// Each kind of router against its definition written out, and the losses of balance against theirs.
#include "models/moe/router.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/autograd/autocast.h"
#include "engine/autograd/grad_mode.h"
#include "models/moe/losses.h"
#include "models/nn/init.h"
#include "ops/elementary.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::moe;

namespace {

constexpr int64_t kTokens = 23, kWidth = 5, kExperts = 6;

using Matrix = std::vector<std::vector<double>>;

Matrix rows_of(const Tensor& x) {
  auto flat = to_vector(x);
  auto columns = static_cast<size_t>(x.size(-1));
  Matrix m;
  for (size_t i = 0; i < flat.size(); i += columns)
    m.emplace_back(flat.begin() + static_cast<int64_t>(i), flat.begin() + static_cast<int64_t>(i + columns));
  return m;
}

Matrix logits_of(const Tensor& x, const Tensor& w) {
  Matrix out, xs = rows_of(x), ws = rows_of(w);
  for (auto& row : xs) {
    out.emplace_back();
    for (auto& weights : ws) out.back().push_back(std::inner_product(row.begin(), row.end(), weights.begin(), 0.0));
  }
  return out;
}

Matrix softmaxes(Matrix m) {
  for (auto& row : m) {
    double most = *std::max_element(row.begin(), row.end()), total = 0;
    for (double& v : row) total += v = std::exp(v - most);
    for (double& v : row) v /= total;
  }
  return m;
}

std::vector<size_t> largest(const std::vector<double>& row, size_t k) {
  std::vector<size_t> order(row.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return row[a] > row[b]; });
  order.resize(k);
  return order;
}

// The weight of each token for each expert, 0 where it does not go.
Matrix table(const Routing& r) {
  Matrix m(static_cast<size_t>(r.tokens), std::vector<double>(static_cast<size_t>(r.experts)));
  auto token = to_vector<int64_t>(r.token), expert = to_vector<int64_t>(r.expert);
  auto weight = to_vector(r.weight);
  for (size_t i = 0; i < token.size(); ++i) m[static_cast<size_t>(token[i])][static_cast<size_t>(expert[i])] += weight[i];
  return m;
}

double difference(const Matrix& a, const Matrix& b) {
  double worst = a.size() == b.size() ? 0 : INFINITY;
  for (size_t i = 0; i < a.size() && std::isfinite(worst); ++i)
    for (size_t j = 0; j < a[i].size(); ++j) worst = std::max(worst, std::abs(a[i][j] - b[i][j]));
  return worst;
}

Router made(const MoeConfig& config, uint64_t seed = 1) {
  manual_seed(seed);
  Router router(kWidth, config);
  router.to(f64);
  return router;
}

Tensor tokens(uint64_t seed = 2) { return test::sample({kTokens, kWidth}, seed); }

}  // namespace

TEST_CASE("router: softmax and sigmoid gates take the largest; weights are theirs, or divided by their sum") {
  for (const char* kind : {"softmax", "sigmoid"})
    for (bool normalize : {false, true})
      for (int64_t k : {1, 2, 6}) {
        Router router = made({.experts = kExperts, .top_k = k, .router = kind, .normalize = normalize});
        Matrix logits = logits_of(tokens(), router.gate->weight), scores = softmaxes(logits),
               expected(kTokens, std::vector<double>(kExperts));
        if (std::string(kind) == "sigmoid")
          for (size_t n = 0; n < scores.size(); ++n)
            for (size_t e = 0; e < kExperts; ++e) scores[n][e] = 1 / (1 + std::exp(-logits[n][e]));
        for (size_t n = 0; n < scores.size(); ++n) {
          auto chosen = largest(scores[n], static_cast<size_t>(k));
          double total = 0;
          for (size_t e : chosen) total += scores[n][e];
          for (size_t e : chosen) expected[n][e] = scores[n][e] / (normalize ? total : 1);
        }
        Routing r = router(tokens());
        CHECK(difference(table(r), expected) < 1e-14);
        for (auto& row : rows_of(r.probability)) CHECK(std::accumulate(row.begin(), row.end(), 0.0) == doctest::Approx(1));
      }
}

TEST_CASE("router: switch takes one expert, weighed by its probability, and drops what is beyond capacity in training only") {
  Router router = made({.experts = kExperts, .top_k = 1, .router = "switch", .capacity = 1.0});
  Matrix p = softmaxes(logits_of(tokens(), router.gate->weight)), all(kTokens, std::vector<double>(kExperts)), held = all;
  std::vector<int> count(kExperts);
  for (size_t n = 0; n < p.size(); ++n) {
    size_t e = largest(p[n], 1)[0];
    all[n][e] = p[n][e];
    if (count[e]++ < 4) held[n][e] = p[n][e];  // ⌈23 / 6⌉
  }
  CHECK(difference(all, held) > 0);
  CHECK(difference(table(router(tokens())), held) < 1e-14);
  CHECK(statistics(router(tokens())).dropped > 0);
  router.eval();
  CHECK(difference(table(router(tokens())), all) < 1e-14);
}

TEST_CASE("router: noise in training only, of a learned deviation; weights are the softmax of the chosen noisy logits") {
  Router router = made({.experts = kExperts, .top_k = 2, .router = "noisy"});
  CHECK(to_vector(router.gate->weight) == std::vector<double>(kExperts * kWidth));  // all experts start even
  nn::init::normal(router.gate->weight);
  nn::init::normal(router.noise->weight);
  auto expected = [](const Matrix& h) {
    Matrix w(h.size(), std::vector<double>(kExperts));
    for (size_t n = 0; n < h.size(); ++n) {
      auto best = largest(h[n], 2);
      w[n][best[0]] = 1 / (1 + std::exp(h[n][best[1]] - h[n][best[0]]));
      w[n][best[1]] = 1 - w[n][best[0]];
    }
    return w;
  };
  Matrix clean = logits_of(tokens(), router.gate->weight), spread = logits_of(tokens(), router.noise->weight);
  manual_seed(5);
  Routing r = router(tokens());
  Matrix noisy = rows_of(r.noisy_logits);
  double total = 0;
  for (size_t n = 0; n < noisy.size(); ++n)
    for (size_t e = 0; e < kExperts; ++e) {
      double deviation = std::log1p(std::exp(spread[n][e]));
      CHECK(to_vector(r.noise_deviation)[n * kExperts + e] == doctest::Approx(deviation));
      double z = (noisy[n][e] - clean[n][e]) / deviation;
      total += z * z;
    }
  CHECK(total / (kTokens * kExperts) == doctest::Approx(1).epsilon(0.4));  // 138 squares of standard normals: 1 ± 0.12
  CHECK(difference(table(r), expected(noisy)) < 1e-12);
  router.eval();
  CHECK(difference(table(router(tokens())), expected(clean)) < 1e-12);
}

TEST_CASE("router: each expert chooses the tokens that are likeliest to want it") {
  for (auto [capacity, each] : {std::pair<double, size_t>{0, 8}, {1.0, 4}, {6.0, 23}, {0.001, 1}}) {
    Router router = made({.experts = kExperts, .top_k = 2, .router = "expert_choice", .capacity = capacity});
    Matrix p = softmaxes(logits_of(tokens(), router.gate->weight)), expected(kTokens, std::vector<double>(kExperts));
    for (size_t e = 0; e < kExperts; ++e) {
      std::vector<double> column;
      for (auto& row : p) column.push_back(row[e]);
      for (size_t n : largest(column, each)) expected[n][e] = p[n][e];
    }
    Routing r = router(tokens());
    CHECK(difference(table(r), expected) < 1e-14);
    auto offsets = to_vector<int64_t>(r.offsets);
    for (size_t e = 0; e < kExperts; ++e) CHECK(offsets[e + 1] - offsets[e] == static_cast<int64_t>(each));
  }
}

TEST_CASE("router: a hash depends on the id and the layer alone") {
  MoeConfig config{.experts = kExperts, .top_k = 2, .router = "hash", .token_ids = 40};
  Router first(kWidth, config, 0), again(kWidth, config, 0), other(kWidth, config, 1);
  CHECK(first.parameters().empty());
  CHECK(first.state().empty());
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < 40; ++i) ids.push_back(i);
  for (int64_t i = 0; i < 40; ++i) ids.push_back(39 - i);
  Tensor x = test::sample({2, 40, kWidth}, 1), all = from_vector(ids, {2, 40});
  Matrix t = table(first(x, all));
  std::vector<int> used(kExperts);
  for (size_t i = 0; i < 40; ++i) {
    CHECK(t[i] == t[79 - i]);
    CHECK(std::count(t[i].begin(), t[i].end(), 0.5) == 2);
    for (size_t e = 0; e < kExperts; ++e) used[e] += t[i][e] > 0;
  }
  for (int count : used) CHECK(count > 3);  // 40 · 2 / 6 in the mean
  CHECK(difference(t, table(again(x, all))) == 0);
  CHECK(difference(t, table(other(x, all))) > 0);
  CHECK_THROWS_WITH_AS(first(x), "router: a hash router needs the tokens' ids", ValueError);
  CHECK_THROWS_WITH_AS(first(x, tensor({1, 2})), "router: 80 tokens, but ids [2]", ShapeError);
  CHECK_THROWS_AS(first(x, full({2, 40}, 40, i64)), IndexError);
}

TEST_CASE("router: random experts are one draw for the batch, one a sequence, or one a token, and uniform") {
  Tensor x = test::sample({60, 10, kWidth}, 1);
  for (auto [kind, together] : {std::pair{"random_batch", size_t{600}}, {"random_sequence", size_t{10}}, {"random_token", size_t{1}}}) {
    Router router(kWidth, {.experts = kExperts, .top_k = 2, .router = kind});
    CHECK(router.parameters().empty());
    manual_seed(3);
    std::vector<double> count(kExperts);
    double draws = 0;
    for (int call = 0; call < (together == 600 ? 600 : together == 10 ? 20 : 2); ++call) {
      Matrix t = table(router(x));
      for (size_t n = 0; n < t.size(); ++n) {
        if (n % together != 0) {
          REQUIRE(t[n] == t[n - 1]);
          continue;
        }
        REQUIRE(std::count(t[n].begin(), t[n].end(), 0.5) == 2);
        for (size_t e = 0; e < kExperts; ++e) count[e] += t[n][e] > 0;
        ++draws;
      }
    }
    double chi = 0, expected = draws * 2 / kExperts;
    for (double c : count) chi += (c - expected) * (c - expected) / expected;
    CHECK(chi < 20.5);  // 0.1 % of a chi-square of 5 degrees of freedom lies beyond; drawn without replacement it is smaller still
    manual_seed(4);
    Matrix a = table(router(x));
    manual_seed(4);
    CHECK(difference(a, table(router(x))) == 0);
    router.top_k = kExperts;  // an average
    for (auto& row : table(router(x)))
      for (double w : row) CHECK(w == doctest::Approx(1.0 / kExperts));
  }
}

TEST_CASE("router: jitter changes what the gate sees in training only; autocast does not") {
  Router router = made({.experts = kExperts, .jitter = 0.5});
  Tensor x = tokens();
  CHECK_FALSE(test::same_bits(router(x).logits, linear(x, router.gate->weight)));
  router.eval();
  CHECK(test::same_bits(router(x).logits, linear(x, router.gate->weight)));
  router.to(f32);
  Tensor narrow = to(x, f32), plain = router(narrow).logits;
  Autocast cast(bf16);
  CHECK(test::same_bits(router(narrow).logits, plain));
  CHECK(router(to(x, bf16)).logits.dtype() == f32);
}

TEST_CASE("losses: balance, importance and z by their formulas") {
  Routing r = route_tokens(tensor({{0}, {0}, {1}, {0}}), tensor({{0.7}, {0.6}, {0.8}, {0.9}}, f64), 2);
  CHECK_THROWS_WITH_AS(load_balance_loss(r), "load_balance_loss: the router has no gate", ValueError);
  CHECK_THROWS_WITH_AS(router_z_loss(r), "router_z_loss: the router has no gate", ValueError);
  CHECK_THROWS_WITH_AS(load_loss(r), "load_loss: the router has no noise now; it has with --router noisy in training", ValueError);
  r.probability = tensor({{0.7, 0.3}, {0.6, 0.4}, {0.2, 0.8}, {0.9, 0.1}}, f64);
  CHECK(load_balance_loss(r).item() == doctest::Approx(1.1));  // 2 (3/4 · 0.6 + 1/4 · 0.4)
  CHECK(importance_loss(r).item() == doctest::Approx(0.7 * 0.7 / (1.5 * 1.5)));  // 2.2 and 0.8: mean 1.5, deviation 0.7
  r.logits = tensor({{0.0, 0.0}, {1.0, 1.0}, {-1.0, -1.0}, {0.0, 0.0}}, f64);
  double l = std::log(2.0);
  CHECK(router_z_loss(r).item() == doctest::Approx((l * l + (l + 1) * (l + 1) + (l - 1) * (l - 1) + l * l) / 4));
  Router even = made({.experts = kExperts, .top_k = kExperts});
  CHECK(load_balance_loss(even(tokens())).item() == doctest::Approx(1));
  CHECK(router_loss({}, {.balance = 1}).item() == 0);
  Routing two = r;
  CHECK(router_loss({r, two}, {.balance = 0.5, .z = 2}).item() == doctest::Approx(2 * (0.5 * 1.1 + 2 * router_z_loss(r).item())));
}

TEST_CASE("losses: the smooth load is the probability of being chosen when the noise is drawn again") {
  Router router = made({.experts = kExperts, .top_k = 2, .router = "noisy"});
  nn::init::normal(router.gate->weight);
  nn::init::normal(router.noise->weight);
  manual_seed(6);
  Routing r = router(tokens());
  Matrix clean = rows_of(r.logits), noisy = rows_of(r.noisy_logits), spread = rows_of(r.noise_deviation);
  std::vector<double> load(kExperts);
  for (size_t n = 0; n < kTokens; ++n)
    for (size_t e = 0; e < kExperts; ++e) {
      std::vector<double> others = noisy[n];
      others.erase(others.begin() + static_cast<int64_t>(e));
      std::sort(others.rbegin(), others.rend());
      load[e] += 0.5 * std::erfc(-(clean[n][e] - others[1]) / spread[n][e] / std::sqrt(2.0));
    }
  double mean = std::accumulate(load.begin(), load.end(), 0.0) / kExperts, variance = 0;
  for (double v : load) variance += (v - mean) * (v - mean) / kExperts;
  CHECK(load_loss(r).item() == doctest::Approx(variance / mean / mean).epsilon(1e-10));
  Router all = made({.experts = 2, .top_k = 2, .router = "noisy"});
  CHECK(load_loss(all(tokens())).item() == 0);
}

TEST_CASE("losses: descending on them evens out what a gate asks for") {
  for (const char* kind : {"softmax", "sigmoid", "noisy"}) {
    Router router = made({.experts = kExperts, .top_k = 2, .router = kind});
    nn::init::normal(router.gate->weight, 0.3, 0.5);
    Tensor x = test::sample({200, kWidth}, 3, f64, 0, 2);  // of one sign, so that some experts win everywhere
    auto evenness = [&] {
      router.eval();
      double e = statistics(router(x)).evenness;
      router.train();
      return e;
    };
    double before = evenness();
    LossWeights weights{.balance = 1, .importance = 1, .load = std::string(kind) == "noisy" ? 1.0 : 0.0, .z = 0.01};
    for (int step = 0; step < 200; ++step) {
      router.zero_grad();
      router_loss({router(x)}, weights).backward();
      NoGrad off;
      for (Tensor p : router.parameters()) {
        Tensor next = p - p.grad() * 0.1;
        copy_data(next, p);
      }
    }
    CHECK_MESSAGE(evenness() > before + 0.05, kind << ": " << before << " → " << evenness());
  }
}

TEST_CASE("router: settings that make none are named") {
  auto message = [](const MoeConfig& c) {
    try {
      Router(kWidth, c);
    } catch (const ConfigError& e) {
      return std::string(e.what());
    }
    return std::string("none");
  };
  CHECK(message({.router = "best"}) ==
        "--router best is unknown; choose softmax, sigmoid, noisy, switch, expert_choice, hash, random_batch, random_sequence or "
        "random_token");
  CHECK(message({.experts = 2, .top_k = 3}) == "--top-k must lie between 1 and --experts 2, it is 3");
  CHECK(message({.router = "switch"}) == "--router switch takes one expert a token: --top-k 1, not 2");
  CHECK(message({.router = "hash"}) == "moe: a hash router needs token_ids, the number of token ids");
  CHECK(message({.capacity = -1}) == "--capacity must be finite and not negative, it is -1");
  CHECK_THROWS_WITH_AS(made({})(zeros({2, 4}, f64)), "router: takes x [.., 5], got [2, 4]", ShapeError);
  Router random(kWidth, {.router = "random_token"});
  random.kind = RouterKind::softmax;
  CHECK_THROWS_WITH_AS(random(tokens()), "router: it was made without a gate", ValueError);
  random.kind = RouterKind::hash;
  CHECK_THROWS_WITH_AS(random(tokens()), "router: it was made without a hash", ValueError);
  Router plain = made({});
  plain.kind = RouterKind::noisy;
  CHECK_THROWS_WITH_AS(plain(tokens()), "router: it was made without noise", ValueError);
  for (const char* kind : {"random_batch", "random_sequence", "random_token", "softmax", "expert_choice"})
    CHECK(Router(kWidth, {.router = kind})(zeros({0, 3, kWidth})).tokens == 0);
}

TEST_CASE("router: sigmoid scores that all round to nothing give weights of nothing, not NaN") {
  Router router(2, {.experts = 3, .top_k = 2, .router = "sigmoid"}, 0);
  Tensor gate = router.gate->weight.detach();
  copy_data(full({3, 2}, -100.0), gate);  // e^-200 is below every f32
  Routing r = router(ones({4, 2}));
  for (double w : to_vector(r.weight)) CHECK(w == 0);
  for (double p : to_vector(r.probability)) CHECK(p == 0);
}
