// FEAMOE against numbers worked out by hand, against logistic regression and plain mixtures, and on streams that drift.
#include "methods/fairness/feamoe/feamoe.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "methods/common/shapley.h"
#include "methods/experiment.h"
#include "methods/fairness/feamoe/prequential.h"
#include "methods/fairness/feamoe/stream.h"
#include "methods/runner.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/models/module_gradients.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::feamoe;
using namespace plumb_test;

namespace plumb::methods::feamoe {
Experiment experiment();
}

namespace {

MixtureOfLinearExperts made(int64_t inputs, int64_t experts, uint64_t seed = 1) {
  manual_seed(seed);
  MixtureOfLinearExperts m(inputs, experts);
  m.to(f64);
  return m;
}

// Two experts on two columns.
MixtureOfLinearExperts worked() {
  MixtureOfLinearExperts m = made(2, 2);
  m.load_state({{"gate.weight", tensor({{0.2, 0.1}, {-0.3, 0.4}}, f64)}, {"gate.bias", tensor({0.0, 0.5}, f64)},
                {"first.weight", tensor({{{0.5, -0.25}}, {{-1.0, 0.5}}}, f64)}, {"first.bias", tensor({{0.1}, {0.0}}, f64)}});
  return m;
}

bool near(const std::vector<double>& v, const std::vector<double>& expected, double tolerance) {
  if (v.size() != expected.size()) return false;
  for (size_t i = 0; i < v.size(); ++i)
    if (!(std::abs(v[i] - expected[i]) <= tolerance)) return false;
  return true;
}
bool near(const Tensor& x, const std::vector<double>& expected, double tolerance = 6e-7) { return near(to_vector(x), expected, tolerance); }

Batch batch_of(int64_t rows, int64_t inputs, uint64_t seed, DType dtype = f64) {
  return {test::sample({rows, inputs}, seed, dtype), to(test::sample({rows}, seed + 1) > 0, i64),
          to(test::sample({rows}, seed + 2) > 0, i64)};
}

}  // namespace

TEST_CASE("feamoe: two experts by hand") {
  MixtureOfLinearExperts m = worked();
  Tensor x = tensor({{1.0, 2.0}}, f64), y = tensor({1}), xbar = tensor({0.5, 0.5}, f64);
  CHECK(near(m.expert_outputs(x), {0.1, 0}));
  CHECK(near(m.gate_shares(x), {0.354344, 0.645656}));
  CHECK(near(m.predict(x), {0.508851}));
  CHECK(near(m.gated_logit(x), {0.0354344}));
  CHECK(near(negative_log_likelihood(m, x, y), {0.675600}));
  CHECK(near(m.responsibilities(x, y), {0.365575, 0.634425}));
  // −ln Σ g e^(−(1 − p)² / 2), from the numbers above
  double squared = -std::log(0.354344 * std::exp(-0.5 * 0.475021 * 0.475021) + 0.645656 * std::exp(-0.125));
  CHECK(near(negative_log_likelihood(m, x, y, Likelihood::squared_error), {squared}, 2e-6));
}

TEST_CASE("feamoe: attributions with the gate held, and the exact ones with the gate moving") {
  MixtureOfLinearExperts m = worked();
  Tensor x = tensor({{1.0, 2.0}}, f64), xbar = tensor({0.5, 0.5}, f64), phi = m.shapley(x, xbar), g = m.gate_shares(x);
  CHECK(near(phi, {-0.234242, 0.351363}));
  auto held = [&](const Tensor& rows) { return sum(g * squeeze(m.expert_outputs(rows), 2), {1}); };
  double change = held(x).item() - held(unsqueeze(xbar, 0)).item();
  CHECK(sum(phi).item() == doctest::Approx(0.117121).epsilon(1e-5));
  CHECK(sum(phi).item() == doctest::Approx(change).epsilon(1e-12));
  CHECK(near(exact_shapley(held, select(x, 0, 0), xbar), to_vector(phi), 1e-14));
  std::vector<double> exact = exact_shapley([&](const Tensor& rows) { return m.gated_logit(rows); }, select(x, 0, 0), xbar);
  CHECK(near(exact, {-0.196955, 0.291766}, 6e-7));
  CHECK(exact[0] + exact[1] == doctest::Approx(0.0948110).epsilon(1e-6));
  CHECK_THROWS_WITH_AS(m.shapley(x, tensor({0.5}, f64)), "feamoe: the background's mean [1] should be [2]", ShapeError);
}

TEST_CASE("feamoe: distance to acceptance of one expert by hand") {
  MixtureOfLinearExperts m = made(2, 1);
  m.load_state({{"gate.weight", zeros({1, 2}, f64)},
                {"gate.bias", zeros({1}, f64)},
                {"first.weight", tensor({{{3.0, 4.0}}}, f64)},
                {"first.bias", tensor({{-1.0}}, f64)}});
  Tensor x = tensor({{-1.0, 0.0}, {-2.0, 1.0}, {0.0, -1.0}, {-0.5, -0.5}}, f64), a = tensor({1, 1, 0, 0});
  CHECK(near(m.gated_logit(x), {-4, -3, -5, -4.5}, 1e-14));
  CHECK(near(m.recourse_distance(x), {0.8, 0.6, 1.0, 0.9}, 1e-14));
  CHECK(group_gap(m.recourse_distance(x), a, m.predict(x) < 0.5).item() == doctest::Approx(-0.25));
  CHECK(recourse_penalty(m.predict(x), m.recourse_distance(x), a).item() == doctest::Approx(0.0625));
  Objective o = objective(m, x, tensor({0, 0, 0, 0}), a, {.fairness = {.recourse = 2}, .decay = 0});
  CHECK(o.fairness.item() == doctest::Approx(0.125));
  CHECK(m.recourse_distance(tensor({{1.0, 1.0}}, f64)).item() == 0);  // already accepted
}

TEST_CASE("feamoe: derivatives of every term match differences") {
  Batch b = batch_of(24, 3, 2);
  for (FairnessPenalty f :
       {FairnessPenalty{}, FairnessPenalty{.dp = 3}, FairnessPenalty{.eo = 2}, FairnessPenalty{.recourse = 4}, FairnessPenalty{1, 2, 3}})
    for (Likelihood likelihood : {Likelihood::bernoulli, Likelihood::squared_error}) {
      CAPTURE(f.dp);
      CAPTURE(f.eo);
      CAPTURE(f.recourse);
      MixtureOfLinearExperts m = made(3, 3);
      // away from the kinks: no score near ½, no expert's logit near 0, so that a step of 1e-5 crosses none
      CHECK(min(abs(m.predict(b.x) - 0.5)).item() > 1e-4);
      CHECK(min(abs(m.expert_outputs(b.x))).item() > 1e-4);
      check_module_gradients(
          m, {}, [&] { return objective(m, b.x, b.y, b.a, {.fairness = f, .decay = 0.01, .likelihood = likelihood}).total(); }, 12);
    }
}

TEST_CASE("feamoe: gradients in the logits are those of the responsibilities") {
  MixtureOfLinearExperts m = made(3, 3);
  Batch b = batch_of(10, 3, 5);
  negative_log_likelihood(m, b.x, b.y).backward();
  NoGrad off;
  Tensor h = m.responsibilities(b.x, b.y), g = m.gates(b.x), p = sigmoid(squeeze(m.expert_outputs(b.x), 2));
  Tensor ds = -h * (unsqueeze(to(b.y, f64), 1) - p) / 10.0, dz = (g - h) / 10.0;
  CHECK(test::difference(squeeze(m.first.bias.grad(), 1), sum(ds, {0})) < 1e-14);
  CHECK(test::difference(m.gate.bias.grad(), sum(dz, {0})) < 1e-14);
}

TEST_CASE("feamoe: with a detached gate the recourse term leaves the gate alone") {
  MixtureOfLinearExperts m = made(3, 3);
  Batch b = batch_of(24, 3, 2);
  objective(m, b.x, b.y, b.a, {.fairness = {.recourse = 1}, .decay = 0, .detach_gate = true}).fairness.backward();
  CHECK_FALSE(m.gate.weight.grad().defined());
  CHECK(norm(m.first.weight.grad()).item() > 1e-3);
}

TEST_CASE("feamoe: one expert is logistic regression, step for step") {
  Batch b = batch_of(40, 3, 7);
  MixtureOfLinearExperts m = made(3, 1);
  optim::Adam adam(m.parameters(), {.lr = 0.03});
  std::vector<double> x = to_vector(b.x), y = to_vector(b.y), w = to_vector(m.first.weight), first(4), second(4);
  w.push_back(m.first.bias.item());
  for (int step = 1; step <= 50; ++step) {
    adam.zero_grad();
    objective(m, b.x, b.y, b.a, {.decay = 0.01}).total().backward();
    adam.step();
    std::vector<double> slope(4);
    for (size_t i = 0; i < 40; ++i) {
      double s = w[3];
      for (size_t j = 0; j < 3; ++j) s += w[j] * x[i * 3 + j];
      double error = 1 / (1 + std::exp(-s)) - y[i];
      for (size_t j = 0; j < 4; ++j) slope[j] += error * (j < 3 ? x[i * 3 + j] : 1) / 40;
    }
    for (size_t j = 0; j < 4; ++j) {
      double g = slope[j] + 0.02 * w[j];
      first[j] = 0.9 * first[j] + 0.1 * g;
      second[j] = 0.999 * second[j] + 0.001 * g * g;
      w[j] -= 0.03 * first[j] / (1 - std::pow(0.9, step)) / (std::sqrt(second[j] / (1 - std::pow(0.999, step))) + 1e-8);
    }
  }
  CHECK(near(m.first.weight, {w[0], w[1], w[2]}, 1e-11));
  CHECK(near(m.first.bias, {w[3]}, 1e-11));
}

TEST_CASE("feamoe: between experts that are the same the gate neither matters nor learns") {
  MixtureOfLinearExperts m = made(3, 3);
  Batch b = batch_of(20, 3, 3);
  {
    NoGrad off;
    for (int64_t k = 1; k < 3; ++k)
      for (nn::Parameter* p : {&m.first.weight, &m.first.bias}) {
        Tensor place = select(*p, 0, k);
        copy_(place, select(*p, 0, 0));
      }
  }
  Tensor before = m.predict(b.x).detach();
  negative_log_likelihood(m, b.x, b.y).backward();
  CHECK(max(abs(m.gate.weight.grad())).item() < 1e-15);
  {
    NoGrad off;
    Tensor weight = m.gate.weight;
    copy_(weight, test::sample({3, 3}, 11));
  }
  CHECK(test::difference(m.predict(b.x), before) < 1e-14);
}

TEST_CASE("feamoe: an expert behind a closed gate changes nothing, coming or going") {
  MixtureOfLinearExperts m = made(3, 2);
  Batch b = batch_of(20, 3, 3);
  Tensor before = m.predict(b.x).detach();
  m.add_expert();
  {
    NoGrad off;
    Tensor newest = slice(m.gate.bias, 0, 2, 3);
    fill_(newest, -30.0);
  }
  CHECK(m.experts() == 3);
  CHECK(test::difference(m.predict(b.x), before) < 1e-10);
  CHECK(m.prune(b.x, 1e-6) == std::vector<int64_t>{0, 1});
  CHECK(test::difference(m.predict(b.x), before) < 1e-10);
  CHECK(m.prune(b.x, 0).size() == 2);
  CHECK(m.prune(b.x, 0.999).size() == 1);  // the largest stays, however small
  CHECK(m.experts() == 1);
  CHECK_THROWS_WITH_AS(m.prune(b.x, 1), "feamoe: min_share must lie in [0, 1), it is 1", ValueError);
}

TEST_CASE("feamoe: without penalties it is plain training of a mixture, to the last bit") {
  Batch b = batch_of(50, 3, 9, f32);
  manual_seed(4);
  Feamoe learner({.inputs = 3, .experts = 3, .max_experts = 3, .window = 2, .iterations = 7, .min_share = 0, .objective = {.decay = 0}});
  MixtureOfLinearExperts plain = learner.model();
  optim::Adam adam(plain.parameters(), {.lr = 0.03});
  for (int t = 0; t < 4; ++t) {
    learner.learn(b);
    Batch window = t == 0 ? b : joined({b, b});
    for (int i = 0; i < 7; ++i) {
      adam.zero_grad();
      plain.negative_log_likelihood(window.x, window.y).backward();
      adam.step();
    }
  }
  CHECK(test::same_bits(learner.model().predict(b.x), plain.predict(b.x)));
}

TEST_CASE("feamoe: a batch without one of the groups costs nothing and has gradients") {
  MixtureOfLinearExperts m = made(3, 2);
  Batch b = batch_of(12, 3, 3);
  b.a = ones({12}, i64);
  Objective o = objective(m, b.x, b.y, b.a, {.fairness = {1, 1, 1}});
  CHECK(o.fairness.item() == 0);
  o.total().backward();
  for (const Tensor& p : m.parameters()) CHECK(all(isfinite(p.grad())).item() == 1);
}

TEST_CASE("feamoe: a drift brings an expert at once, a quiet stream seldom one") {
  DriftStreamOptions options{.batches = 24, .accuracy_drift = 15, .fairness_drift = 24};
  int added_before = 0, found = 0;
  for (uint64_t seed = 0; seed < 5; ++seed) {
    manual_seed(seed);
    std::vector<Batch> stream = drift_stream(options);
    Feamoe learner({.inputs = 6});
    bool fired_after = false;
    for (int64_t t = 0; t < 24; ++t) {
      LearnReport r = learner.learn(stream[static_cast<size_t>(t)]);
      CHECK(r.experts == learner.model().experts());
      if (r.fired.empty()) continue;
      CHECK(r.fired == "loss");
      if (t < 15) ++added_before;
      else fired_after = true;
    }
    found += fired_after;
  }
  CHECK(added_before <= 5);  // one in 15 batches
  CHECK(found >= 4);
}

TEST_CASE("feamoe: a change in fairness alone is seen by the monitor of that measure") {
  // Scores follow x₀; from batch 12 on group 1 is the one with the larger x₀, which labels follow as before.
  auto run = [](Watched watched) {
    manual_seed(3);
    Feamoe learner({.inputs = 2, .iterations = 10, .watched = watched});
    std::vector<std::string> fired;
    for (int64_t t = 0; t < 20; ++t) {
      Tensor x = test::sample({400, 2}, 100 + static_cast<uint64_t>(t), f32), y = to(select(x, 1, 0) > 0, i64);
      Tensor a = to(t < 12 ? select(x, 1, 1) > 0 : select(x, 1, 0) + select(x, 1, 1) * 0.5 > 0, i64);
      std::string name = learner.learn({x, y, a}).fired;
      if (!name.empty()) fired.push_back(std::to_string(t) + " " + name);
    }
    return fired;
  };
  CHECK(run({.loss = true}).empty());
  std::vector<std::string> fired = run({.loss = false, .demographic_parity = true});
  REQUIRE_FALSE(fired.empty());
  CHECK(fired[0] == "12 demographic parity");
}

TEST_CASE("feamoe: older experts that are held move a tenth of the way") {
  auto moved = [](bool hold) {
    manual_seed(5);
    Feamoe learner({.inputs = 3,
                    .max_experts = 2,
                    .iterations = 1,
                    .min_share = 0,
                    .freeze_old = hold,
                    .drift = {.recent = 1, .least = 1, .deviations = 0, .slack = 0}});
    Batch b = batch_of(30, 3, 1, f32), other = b;
    other.y = 1 - b.y;
    while (learner.learn(b).fired.empty() && learner.model().experts() == 1)
      if (learner.learn(other).experts == 2) break;
    Tensor before = clone(learner.model().first.weight.detach());
    learner.learn(b);
    Tensor after = learner.model().first.weight.detach();
    std::vector<double> d = to_vector(norm(squeeze(after - before, 1), 2, {1}));
    REQUIRE(d.size() == 2);
    return d;
  };
  std::vector<double> free = moved(false), held = moved(true);
  CHECK(free[0] > 5e-3);
  CHECK(held[0] < 0.3 * free[0]);
  CHECK(held[1] > 0.5 * free[1]);
}

TEST_CASE("feamoe: offline, experts are added while the validation loss falls") {
  auto fit = [](bool crossed) {
    auto rows = [&](uint64_t seed) {
      Tensor x = test::sample({1000, 2}, seed, f32), s = select(x, 1, 0) * (crossed ? select(x, 1, 1) * 2 : full({1000}, 1.5));
      return Batch{x, to(test::sample({1000}, seed + 1, f32, 0, 1) < sigmoid(s), i64), to(test::sample({1000}, seed + 2) > 0, i64)};
    };
    manual_seed(1);
    return fit_offline(rows(10), rows(20), {.max_experts = 4, .most_steps = 600, .improvement = 0.02});
  };
  OfflineFit line = fit(false), cross = fit(true);
  CHECK(line.model.experts() == 1);
  CHECK(line.validation_loss.size() == 2);
  CHECK(cross.model.experts() >= 2);
  CHECK(cross.validation_loss[0] > 0.65);
  CHECK(cross.validation_loss[static_cast<size_t>(cross.model.experts()) - 1] < 0.52);  // a label is random: the entropy left is about 0.4
  CHECK_THROWS_WITH_AS(fit_offline(batch_of(4, 2, 1), batch_of(4, 2, 1), {.max_experts = 0}),
                       "feamoe: max_experts must be at least 1, it is 0", ConfigError);
}

TEST_CASE("feamoe: the stream has its drifts where it says") {
  manual_seed(2);
  std::vector<Batch> s = drift_stream({.batches = 9, .rows = 4000, .accuracy_drift = 3, .fairness_drift = 6});
  auto mean_of = [](const Tensor& v, const Tensor& among) { return mean(to(masked_select(v, among), f64)).item(); };
  for (size_t t = 0; t < 9; ++t) {
    const Batch& b = s[t];
    CAPTURE(t);
    CHECK(b.x.shape() == Shape{4000, 6});
    CHECK(mean(to(b.a, f64)).item() == doctest::Approx(0.4).epsilon(0.08));
    double proxy = mean_of(select(b.x, 1, 1), b.a == 1) - mean_of(select(b.x, 1, 1), b.a == 0);
    double second = mean_of(select(b.x, 1, 2), b.a == 1) - mean_of(select(b.x, 1, 2), b.a == 0);
    CHECK(proxy == doctest::Approx(0.6).epsilon(0.25));
    CHECK(second == doctest::Approx(t < 6 ? 0.0 : 1.0).epsilon(0.15).scale(1));
  }
  // A linear model that is right before the drift is not after it, where x₀ > 0.
  Feamoe linear({.inputs = 6, .max_experts = 1});
  linear.learn(s[0]);
  linear.learn(s[1]);
  auto accuracy = [&](const Batch& b, const Tensor& among) {
    NoGrad off;
    Tensor right = (linear.model().predict(b.x) >= 0.5) == (b.y == 1);
    return mean_of(right, among);
  };
  CHECK(accuracy(s[2], select(s[2].x, 1, 0) > 0) > 0.75);
  CHECK(accuracy(s[3], select(s[3].x, 1, 0) <= 0) > 0.75);
  CHECK(accuracy(s[3], select(s[3].x, 1, 0) > 0) < 0.5);
  CHECK_THROWS_WITH_AS(drift_stream({.inputs = 2}), "feamoe: the stream needs at least 3 inputs, not 2", ConfigError);
}

TEST_CASE("feamoe: prequential measures by hand") {
  PrequentialReport r;
  Tensor a = tensor({1, 1, 1, 0, 0, 0}), y = tensor({1, 1, 0, 1, 0, 0}), q = tensor({0.9, 0.7, 0.4, 0.6, 0.3, 0.2}, f64);
  Tensor distance = tensor({0.0, 0.0, 0.5, 0.0, 1.0, 2.0}, f64);
  r.add(q, distance, {zeros({6, 1}), y, a});
  CHECK(r.accuracy(0, 1) == 1);
  CHECK(r.demographic_parity(0, 1) == doctest::Approx(1.0 / 3));
  CHECK(r.equalised_odds(0, 1) == 0);
  CHECK(r.recourse_gap(0, 1) == doctest::Approx(1.0));  // 0.5 against the mean of 1 and 2
  r.add(1 - q, distance, {zeros({6, 1}), y, a});
  r.add(tensor({0.9, 0.7, 0.6, 0.6, 0.3, 0.2}, f64), distance, {zeros({6, 1}), y, a});
  r.add(q, distance, {zeros({6, 1}), y, a});
  CHECK(r.accuracy(1, 2) == 0);
  CHECK(r.accuracy(0, 2) == 0.5);
  CHECK(r.equalised_odds(2, 3) == 1);  // the only negative of group 1 is accepted
  CHECK(r.recovery(0, 1, 4) == 2);
  CHECK(r.recovery(0, 1, 4, 0.2) == 1);
  CHECK(r.recovery(0, 1, 3) == 2);  // not before the end
  CHECK_THROWS_WITH_AS(r.accuracy(2, 5), "feamoe: batches [2, 5) of 4", IndexError);
  CHECK_THROWS_WITH_AS(r.add(q, distance, {zeros({5, 1}), tensor({1}), a}), "feamoe: scores [6] of a batch do not fit [1]; all are [B]",
                       ShapeError);
}

TEST_CASE("feamoe: what cannot be is named") {
  CHECK_THROWS_WITH_AS(Feamoe({.inputs = 3, .max_experts = 0}), "feamoe: max_experts must be at least 1, it is 0", ConfigError);
  CHECK_THROWS_WITH_AS(Feamoe({.inputs = 3, .window = 0}), "feamoe: window must be at least 1, it is 0", ConfigError);
  CHECK_THROWS_WITH_AS(Feamoe({.inputs = 0}), "feamoe: inputs must be at least 1, it is 0", ConfigError);
  CHECK_THROWS_WITH_AS(Feamoe({.inputs = 3, .experts = 7}), "feamoe: 7 experts at the start are more than max_experts 6", ConfigError);
  CHECK_THROWS_WITH_AS(Feamoe({.inputs = 3, .objective = {.fairness = {.dp = -1}}}),
                       "group fairness: the weight dp must be finite and not negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(Feamoe({.inputs = 3, .objective = {.decay = -1}}), "feamoe: decay must be finite and not negative, it is -1",
                       ValueError);
  Feamoe learner({.inputs = 3});
  Batch b = batch_of(10, 3, 1, f32);
  CHECK_THROWS_WITH_AS(learner.learn({b.x, b.y, b.a + 1}), "group fairness: the group of row 0 is 2, not 0 or 1", ValueError);
  CHECK_THROWS_AS(learner.learn({b.x, b.y + 2, b.a}), IndexError);
  CHECK_THROWS_AS(learner.learn({slice(b.x, 1, 0, 2), b.y, b.a}), ShapeError);
  CHECK_THROWS_WITH_AS(joined({}), "feamoe: there are no batches to join", ValueError);
}

TEST_CASE("feamoe: the experiment at smoke budget") {
  Experiment e = experiment();
  Results results = run_experiment({"fairness", "feamoe", &experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  CHECK(results.cells.size() == e.variants.size());
  auto value = [&](const std::string& variant, const std::string& metric) {
    for (const CellResult& c : results.cells)
      if (c.variant == variant)
        for (const auto& [name, v] : c.measured.metrics)
          if (name == metric) return v;
    FAIL(variant << " did not measure " << metric);
    return 0.0;
  };
  for (const char* variant : {"online logistic regression", "FEAMOE, λ = 10"}) {
    CAPTURE(variant);
    CHECK(value(variant, "accuracy before (%)") > 60);
    CHECK(value(variant, "|DP| after it") <= 1);
  }
  CHECK(value("online logistic regression", "attribution error (%)") < 0.01);  // of one linear model attributions are exact
  CHECK(value("4 experts, λ = 10", "attribution error (%)") > 0.1);            // a moving gate makes a difference
  CHECK(value("MLP-32", "attribution time (µs a row)") > value("FEAMOE, λ = 10", "attribution time (µs a row)"));
}
