// Mixtures for tables: worked numbers, plain loops, growing and shrinking, and a function that one linear model cannot be.
#include "models/moe/tabular.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "models/optim/adam.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/models/module_gradients.h"

using namespace plumb;
using namespace plumb::moe;
using namespace plumb_test;

namespace {

TabularMoe made(const TabularMoeConfig& config, uint64_t seed = 1) {
  manual_seed(seed);
  TabularMoe model(config);
  model.to(f64);
  return model;
}

// Two logistic experts on two columns, worked out by hand.
TabularMoe worked() {
  TabularMoe m = made({.inputs = 2, .experts = 2});
  m.load_state({{"gate.weight", tensor({{0.2, 0.1}, {-0.3, 0.4}}, f64)}, {"gate.bias", tensor({0.0, 0.5}, f64)},
                {"first.weight", tensor({{{0.5, -0.25}}, {{-1.0, 0.5}}}, f64)}, {"first.bias", tensor({{0.1}, {0.0}}, f64)}});
  return m;
}

bool near(const Tensor& x, std::vector<double> expected, double tolerance = 5e-7) {
  auto v = to_vector(x);
  for (size_t i = 0; i < v.size(); ++i)
    if (std::abs(v[i] - expected[i]) > tolerance) return false;
  return v.size() == expected.size();
}

}  // namespace

TEST_CASE("tabular mixture: two logistic experts by hand") {
  TabularMoe m = worked();
  Tensor x = tensor({{1.0, 2.0}}, f64), y = tensor({1});
  CHECK(near(m.expert_outputs(x), {0.1, 0}));
  CHECK(near(m.gates(x), {0.354344, 0.645656}));
  CHECK(near(m(x), {0.0354344}));
  CHECK(near(m.probabilities(x), {0.508851}));
  CHECK(near(m.negative_log_likelihood(x, y), {0.675600}));
  CHECK(near(m.responsibilities(x, y), {0.365575, 0.634425}));
  CHECK(near(m.responsibilities(x, tensor({0})), {0.354344 * 0.475021 / 0.491149, 0.645656 * 0.5 / 0.491149}, 2e-6));
}

TEST_CASE("tabular mixture: with one hidden layer, classes and a few experts a row, as loops compute it") {
  TabularMoe m = made({.inputs = 3, .outputs = 4, .experts = 5, .hidden = 6, .top_k = 2});
  Tensor x = test::sample({7, 3}, 2), s = m.expert_outputs(x), g = m.gates(x);
  CHECK(s.shape() == Shape{7, 5, 4});
  auto w1 = to_vector(m.first.weight), b1 = to_vector(m.first.bias), w2 = to_vector(m.second->weight), b2 = to_vector(m.second->bias);
  auto wg = to_vector(m.gate.weight), bg = to_vector(m.gate.bias), xs = to_vector(x);
  std::vector<double> outputs, gates;
  for (size_t n = 0; n < 7; ++n) {
    std::vector<double> z(5), sorted;
    for (size_t e = 0; e < 5; ++e) {
      z[e] = bg[e];
      for (size_t i = 0; i < 3; ++i) z[e] += wg[e * 3 + i] * xs[n * 3 + i];
      std::vector<double> h(6);
      for (size_t j = 0; j < 6; ++j) {
        h[j] = b1[e * 6 + j];
        for (size_t i = 0; i < 3; ++i) h[j] += w1[(e * 6 + j) * 3 + i] * xs[n * 3 + i];
        h[j] = std::max(h[j], 0.0);
      }
      for (size_t o = 0; o < 4; ++o) {
        double out = b2[e * 4 + o];
        for (size_t j = 0; j < 6; ++j) out += w2[(e * 4 + o) * 6 + j] * h[j];
        outputs.push_back(out);
      }
    }
    sorted = z;
    std::sort(sorted.rbegin(), sorted.rend());
    double total = std::exp(sorted[0]) + std::exp(sorted[1]);
    for (double v : z) gates.push_back(v >= sorted[1] ? std::exp(v) / total : 0);
  }
  CHECK(near(s, outputs, 1e-13));
  CHECK(near(g, gates, 1e-13));
  CHECK(test::difference(m(x), sum(unsqueeze(g, 2) * s, {1})) < 1e-13);  // the experts that were computed, and all
  CHECK(test::difference(sum(m.probabilities(x), {1}), ones({7}, f64)) < 1e-13);
  Tensor label = tensor({0, 1, 2, 3, 0, 1, 2}), p = squeeze(gather(m.probabilities(x), 1, unsqueeze(label, 1)), 1);
  CHECK(m.negative_log_likelihood(x, label).item() == doctest::Approx(-mean(log(p)).item()));
}

TEST_CASE("tabular mixture: derivatives match differences") {
  Tensor x = test::sample({5, 3}, 2), label = tensor({0, 1, 1, 0, 1});
  for (const TabularMoeConfig& c : {TabularMoeConfig{.inputs = 3}, TabularMoeConfig{.inputs = 3, .hidden = 4, .activation = "gelu"},
                                    TabularMoeConfig{.inputs = 3, .outputs = 2, .top_k = 2}}) {
    TabularMoe m = made(c);
    check_module_gradients(m, {x}, [&] { return m(x) + m.negative_log_likelihood(x, label); });
  }
}

TEST_CASE("tabular mixture: an expert that no gate opens for changes nothing, coming or going") {
  TabularMoe m = made({.inputs = 3, .outputs = 2, .experts = 3, .hidden = 4});
  Tensor x = test::sample({6, 3}, 2), before = m(x);
  manual_seed(3);
  m.add_expert();
  CHECK(m.experts() == 4);
  CHECK(m.num_parameters() == 4 * (3 + 1 + 4 * 3 + 4 + 2 * 4 + 2));
  CHECK_FALSE(test::same_bits(m(x), before));
  auto first = to_vector(m.first.bias);
  for (size_t j = 0; j < 4; ++j) CHECK(std::abs(first[12 + j] - (first[j] + first[4 + j] + first[8 + j]) / 3) < 0.3);  // near the mean
  {
    NoGrad off;
    Tensor newest = slice(m.gate.bias, 0, 3, 4);
    fill_(newest, -40.0);
  }
  CHECK(test::difference(m(x), before) < 1e-10);
  m.keep_experts({0, 1, 2});
  CHECK(test::difference(m(x), before) < 1e-14);
  m.keep_experts({2, 0});
  CHECK(m.gates(x).shape() == Shape{6, 2});
  for (const Tensor& p : m.parameters()) CHECK(p.requires_grad());
  CHECK_THROWS_WITH_AS(m.keep_experts({}), "tabular mixture: 0 experts are too few; at least 1 must stay", ValueError);
  CHECK_THROWS_WITH_AS(m.keep_experts({2}), "tabular mixture: expert 2 is outside [0, 2)", IndexError);
  CHECK_THROWS_WITH_AS(m.add_expert(-1), "tabular mixture: the deviation must not be negative, it is -1", ValueError);
}

TEST_CASE("tabular mixture: four linear classifiers learn what one cannot") {
  Tensor x = test::sample({600, 2}, 1, f32), label = to(select(x, 1, 0) * select(x, 1, 1) > 0, i64);
  auto accuracy = [&](int64_t experts) {
    manual_seed(2);
    TabularMoe m({.inputs = 2, .experts = experts});
    optim::AdamW adamw(m.parameters(), {.lr = 0.05, .weight_decay = 0});
    for (int step = 0; step < 300; ++step) {
      adamw.zero_grad();
      m.negative_log_likelihood(x, label).backward();
      adamw.step();
    }
    Tensor right = to(select(m.probabilities(x), 1, 0) > 0.5, i64) == label;
    return mean(to(right, f32)).item();
  };
  CHECK(accuracy(1) < 0.7);
  CHECK(accuracy(4) > 0.95);
}

TEST_CASE("tabular mixture: copies, states, JSON and wrong shapes") {
  TabularMoeConfig c{.inputs = 3, .outputs = 2, .hidden = 4, .top_k = 1};
  TabularMoe a = made(c, 1), b = made(c, 2);
  Tensor x = test::sample({4, 3}, 2);
  check_state_round_trip<TabularMoe>(a, b, [&](const TabularMoe& m) { return m(x); });
  CHECK(TabularMoeConfig::from_json(c.to_json()).to_json() == c.to_json());
  CHECK_THROWS_WITH_AS(a(zeros({3}, f64)), "tabular mixture: takes x [B, 3], got [3]", ShapeError);
  CHECK_THROWS_WITH_AS(a.log_joint(x, tensor({1})), "tabular mixture: 4 rows, but labels [1]", ShapeError);
  CHECK_THROWS_AS(a.log_joint(x, tensor({0, 1, 2, 0})), IndexError);
  CHECK_THROWS_WITH_AS(TabularMoe(TabularMoeConfig{}), "tabular mixture: inputs must be at least 1, it is 0", ConfigError);
  CHECK_THROWS_WITH_AS(TabularMoe({.inputs = 1, .top_k = 5}), "tabular mixture: top_k must lie between 0 and 4, it is 5", ConfigError);
}
