// Aioli: the law's matrix and the proportions on worked numbers, the law found again, steps counted, and the experiment.
#include "methods/finetuning/aioli/aioli.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "methods/finetuning/aioli/texts.h"
#include "methods/runner.h"
#include "ops/index.h"
#include "tests/methods/check_close.h"
#include "tests/methods/measured.h"
#include "tests/models/data_mixing/simulated_law.h"

namespace plumb::methods::aioli {
Experiment experiment();
}

using namespace plumb;
using namespace plumb::methods;
using aioli::AioliOptions;
using aioli::Shares;
using doctest::Approx;
using plumb_test::SimulatedLaw;

namespace {

const std::vector<Shares> kLaw{{0.3, 0.05, -0.01}, {0.1, 0.2, 0.02}, {0.0, 0.01, 0.05}};

Tensor matrix(const std::vector<Shares>& rows) {
  std::vector<double> all;
  for (const Shares& r : rows) all.insert(all.end(), r.begin(), r.end());
  return from_vector(all, {static_cast<int64_t>(rows.size()), static_cast<int64_t>(rows[0].size())});
}

// Within so much of each number: worked ones are given to six decimals.
void check_shares(const Shares& got, const Shares& wanted, double tolerance = 5.1e-7) {
  REQUIRE(got.size() == wanted.size());
  for (size_t i = 0; i < got.size(); ++i) CHECK(std::abs(got[i] - wanted[i]) <= tolerance);
}

void check_matrix(const Tensor& got, const std::vector<Shares>& wanted, double tolerance = 5.1e-7) {
  check_shares(to_vector(got), to_vector(matrix(wanted)), tolerance);
}

const std::vector<Shares> kFirst{{0.38, -0.10}, {-0.055, 0.225}}, kSecond{{0.10, 0.30}, {-0.05, 0.20}};

}  // namespace

TEST_CASE("aioli: drops under mixed batches are taken apart as worked") {
  Tensor drops = matrix({{0.20, 0.08}, {0.05, 0.12}});
  check_matrix(aioli::solve_smoothed_mixture(drops, 0.625), kFirst, 1e-12);
  check_matrix(aioli::solve_smoothed_mixture(drops, 1), {{0.20, 0.08}, {0.05, 0.12}}, 0);
  check_matrix(aioli::solve_smoothed_mixture(drops, 0.625, true), {{0.32, 0}, {0, 0.192}}, 1e-12);
}

TEST_CASE("aioli: the matrix is normalised and weighs the groups as worked") {
  Tensor a = aioli::normalize_law_matrix(matrix(kFirst));
  check_matrix(a, {{0.564706, 0}, {0.0529412, 0.382353}});
  check_shares(aioli::column_sums(a), {0.617647, 0.382353});
  aioli::Aioli policy({.eta = 0.2});
  check_shares(policy.choose(matrix(kFirst)), {0.511763, 0.488237});
  check_matrix(aioli::normalize_law_matrix(matrix(kSecond)), {{0.2, 0.466667}, {0, 0.333333}});
}

TEST_CASE("aioli: a second round with and without ema is as worked") {
  aioli::Aioli smoothed({.eta = 0.2, .ema = 0.1}), plain({.eta = 0.2});
  check_shares(smoothed.choose(matrix(kFirst)), {0.511763, 0.488237});
  check_shares(smoothed.choose(matrix(kSecond)), {0.474199, 0.525801});
  plain.choose(matrix(kFirst));
  check_shares(plain.choose(matrix(kSecond)), {0.481773, 0.518227});
}

TEST_CASE("aioli: without ema shares drift on, with it they stay within e^η of each other") {
  aioli::Aioli smoothed({.eta = 0.2, .ema = 0.5}), plain({.eta = 0.2});
  Tensor one_sided = matrix({{1, 0}, {1, 0}});
  Shares kept, drifted;
  for (int t = 0; t < 30; ++t) kept = smoothed.choose(one_sided), drifted = plain.choose(one_sided);
  CHECK(kept[0] / kept[1] == Approx(std::exp(0.2)).epsilon(1e-9));
  CHECK(drifted[0] / drifted[1] == Approx(std::exp(6.0)).epsilon(1e-9));
}

TEST_CASE("aioli: equal columns, η = 0 and a matrix of equal entries change nothing; shares are a mixture") {
  Shares start{0.7, 0.3};
  auto choose = [&](const std::vector<Shares>& law, double eta, Shares from) {
    return aioli::Aioli({.eta = eta, .start = std::move(from)}).choose(matrix(law));
  };
  check_shares(choose({{0.3, 0.1}, {0.1, 0.3}}, 2, start), start, 1e-12);
  check_shares(choose(kFirst, 0, {}), {0.5, 0.5}, 1e-12);
  check_shares(choose({{-0.2, -0.2}, {-0.2, -0.2}}, 2, start), start, 1e-12);
  check_shares(choose({{0, 0}, {0, 0}}, 2, start), start, 1e-12);
  check_matrix(aioli::normalize_law_matrix(matrix({{-0.2, -0.2}, {-0.2, -0.2}})), {{0, 0}, {0, 0}}, 0);
  Shares p = choose(kFirst, 5, start);
  CHECK(p[0] + p[1] == Approx(1).epsilon(1e-12));
  CHECK((p[0] > 0 && p[1] > 0));
  // The gain is a column's sum: a row's would move the first share the other way.
  Shares by_columns = choose({{0.1, 0.9}, {0.0, 0.0}}, 1, {});
  CHECK(by_columns[1] > by_columns[0]);
}

TEST_CASE("aioli: a law that does not change is found again, in any order and with any number of rounds") {
  for (double rho : {0.5, 1.0})
    for (int64_t rounds : {1, 3})
      for (uint64_t seed : {0, 1, 2, 3}) {
        SimulatedLaw learner(kLaw, {3, 2, 1}, 5, 1000);
        Generator g(seed);
        AioliOptions o{.rho = rho, .law_rounds = rounds, .law_steps = 5};
        aioli::LearnedLaw found = aioli::learn_parameters(learner, {3, 2, 1}, o, g);
        check_matrix(found.law, kLaw, 1e-10);
        check_shares(found.losses, learner.validation_losses(), 0);
        CHECK(learner.steps() == rounds * 5 * 3);
      }
}

TEST_CASE("aioli: each group has its turn once a round, with the exact composition") {
  SimulatedLaw learner(kLaw, {3, 2, 1}, 5, 1000);
  Generator g(4);
  aioli::learn_parameters(learner, {3, 2, 1}, {.rho = 0.5, .law_rounds = 2, .law_steps = 3}, g);
  REQUIRE(learner.compositions.size() == 18);
  for (size_t round : {0, 1}) {
    std::vector<std::vector<int64_t>> turns;
    for (size_t m = 0; m < 3; ++m) {
      for (size_t s = 1; s < 3; ++s) CHECK(learner.compositions[round * 9 + m * 3 + s] == learner.compositions[round * 9 + m * 3]);
      turns.push_back(learner.compositions[round * 9 + m * 3]);
    }
    std::sort(turns.begin(), turns.end());
    CHECK(turns == std::vector<std::vector<int64_t>>{{4, 4, 8}, {4, 8, 4}, {8, 4, 4}});
  }
}

TEST_CASE("aioli: groups by other names have the same shares by other names") {
  std::vector<size_t> named{2, 0, 1};
  for (bool ema : {false, true}) {
    AioliOptions o{.eta = 1.5, .rho = 0.5, .law_rounds = 1, .law_steps = 2};
    if (ema) o.ema = 0.3;
    aioli::Aioli first(o), second(o);
    std::vector<Shares> law = kLaw, renamed(3, Shares(3));
    for (int t = 0; t < 3; ++t) {
      law[static_cast<size_t>(t)][0] += 0.1;
      for (size_t i = 0; i < 3; ++i)
        for (size_t j = 0; j < 3; ++j) renamed[i][j] = law[named[i]][named[j]];
      Shares p = first.choose(matrix(law)), q = second.choose(matrix(renamed));
      for (size_t i = 0; i < 3; ++i) CHECK(q[i] == Approx(p[named[i]]).epsilon(1e-12));
    }
  }
}

TEST_CASE("aioli: a run makes exactly its steps, the estimates' among them, and the law predicts what it does") {
  SimulatedLaw learner(kLaw, {9, 8, 7}, 5, 200);
  aioli::Aioli policy({.eta = 1, .rho = 0.5, .law_rounds = 2, .law_steps = 5});
  auto run = data_mixing::train_mixed(learner, policy, {.steps = 200, .round = 40, .prior = {1, 0, 0}, .prior_steps = 40});
  CHECK(learner.steps() == 200);
  CHECK(run.outside == 0);
  REQUIRE(run.rounds.size() == 4);
  for (const auto& r : run.rounds) CHECK(r.mixed_from - r.from == 30);
  CHECK(policy.laws().size() == 4);
  for (size_t t = 1; t < 4; ++t) CHECK(run.rounds[t].proportions[0] > run.rounds[t - 1].proportions[0]);
  CHECK(aioli::law_fidelity(policy.laws(), run) == Approx(1).epsilon(1e-9));
  // The prior acts through the state of the model alone: the first choice begins with equal weights.
  Shares gain = aioli::column_sums(aioli::normalize_law_matrix(matrix(kLaw)));
  CHECK(std::log(run.rounds[0].proportions[0] / run.rounds[0].proportions[2]) == Approx(gain[0] - gain[2]).epsilon(1e-9));
  aioli::Aioli from_prior({.eta = 1, .start = {0.6, 0.3, 0.1}});
  Shares p = from_prior.choose(matrix(kLaw));
  CHECK(std::log(p[0] / p[2]) == Approx(std::log(6.0) + gain[0] - gain[2]).epsilon(1e-9));
}

TEST_CASE("aioli: bad input is told by its values") {
  Tensor one = matrix({{0.1}}), two = matrix(kFirst);
  CHECK_THROWS_WITH_AS(aioli::solve_smoothed_mixture(one, 0.5), "aioli: there must be at least 2 groups, there is 1", ValueError);
  CHECK_THROWS_WITH_AS(aioli::solve_smoothed_mixture(two, 0.5),
                       "aioli: rho 0.5 is 1/2: every group would have the same share in every turn", ValueError);
  CHECK_THROWS_WITH_AS(aioli::solve_smoothed_mixture(two, 0), "aioli: rho must lie in (0, 1], it is 0", ValueError);
  CHECK_THROWS_WITH_AS(aioli::solve_smoothed_mixture(two, 1.5), "aioli: rho must lie in (0, 1], it is 1.5", ValueError);
  CHECK_THROWS_WITH_AS(aioli::solve_smoothed_mixture(zeros({2, 3}), 1), "aioli: takes a matrix [k, k], got [2, 3]", ShapeError);
  auto run = [](const AioliOptions& o, int64_t round = 50, int64_t batch = 16) {
    SimulatedLaw learner(kLaw, {3, 2, 1}, 5, 100, batch);
    aioli::Aioli policy(o);
    data_mixing::train_mixed(learner, policy, {.steps = 100, .round = round});
  };
  CHECK_THROWS_WITH_AS(run({.rho = 0.5, .law_rounds = 4, .law_steps = 5}), "aioli: estimating the law takes 60 steps, a round has 50",
                       ValueError);
  CHECK_THROWS_WITH_AS(run({.rho = 0.5, .law_rounds = 2, .law_steps = 5}, 30),
                       "data mixing: rounds of 30 steps do not divide the 100 steps after the prior's", ValueError);
  CHECK_THROWS_WITH_AS(run({.rho = 0.5, .law_rounds = 1}, 50, 2), "mixture: a batch of 2 leaves no example for the last of 3 groups",
                       ValueError);
  CHECK_THROWS_WITH_AS(run({.law_rounds = 1, .start = {0.5, 0.7, -0.2}}),
                       "mixture: shares must be finite and not negative, that of group 2 is -0.2", ValueError);
  CHECK_THROWS_WITH_AS(run({.law_rounds = 1, .start = {0, 0, 0}}), "mixture: all shares are 0", ValueError);
  CHECK_THROWS_WITH_AS(run({.eta = -1, .law_rounds = 1}), "aioli: eta must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(run({.law_rounds = 1, .ema = 1}), "aioli: ema must lie in [0, 1), it is 1", ValueError);
  CHECK_THROWS_WITH_AS(run({.law_rounds = 0}), "aioli: law_rounds and law_steps must be at least 1, they are 0 and 4", ValueError);
}

TEST_CASE("aioli: the three texts are what they say, and cover their tokens") {
  Generator g(1);
  std::string sums = aioli::generated_sums(2000, g);
  CHECK(sums.size() == 2000);
  size_t begin = 0, lines = 0;
  for (size_t end = sums.find('\n'); end != std::string::npos; begin = end + 1, end = sums.find('\n', begin), ++lines) {
    int a = 0, b = 0, c = 0;
    REQUIRE(std::sscanf(sums.substr(begin, end - begin).c_str(), "%d+%d=%d;", &a, &b, &c) == 3);
    CHECK(a + b == c);
  }
  CHECK(lines > 180);
  CHECK(aioli::generated_reviews(500, g).size() == 500);
  aioli::Texts texts = aioli::make_texts(4000, true, g);
  REQUIRE(texts.groups.size() == 3);
  CHECK(texts.groups[0].name == "generated verse");
  CHECK(texts.groups[1].name == "generated reviews");
  for (const auto& t : texts.groups) {
    CHECK(t.train.size() == 3200);
    CHECK(t.validation.size() == 400);
    CHECK(t.test.size() == 400);
    for (int64_t i = 0; i < t.train.size(); ++i) REQUIRE(t.train[i] < texts.vocab);
  }
}

TEST_CASE("aioli: the experiment runs, with every step counted") {
  Results results = run_experiment({"finetuning", "aioli", &aioli::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  CHECK(results.cells.size() == aioli::experiment().variants.size());
  for (const auto& [variant, steps] : {std::pair{"stratified", 24},
                                       {"best of 5 static", 48},
                                       {"mixing law", 24 + 16},
                                       {"Skill-It", 24 + 12},
                                       {"DoReMi", 24 + 12},
                                       {"DoGE", 24 + 6},
                                       {"Aioli", 24}})
    CHECK(measured(results, variant, "steps of all runs") == steps);
  double even = measured(results, "stratified", "average test perplexity");
  Generator g(0);
  CHECK(even < 0.8 * static_cast<double>(aioli::make_texts(6000, true, g).vocab));  // better than knowing nothing
  for (const char* v : {"Aioli", "Aioli, ema"}) CHECK(measured(results, v, "average test perplexity") != even);
}
