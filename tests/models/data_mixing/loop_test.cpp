// The loop of data mixing and its policies, on simulated laws.
#include "models/data_mixing/loop.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "engine/core/error.h"
#include "models/data_mixing/policies.h"
#include "tests/models/data_mixing/simulated_law.h"

using namespace plumb;
using namespace plumb::data_mixing;
using doctest::Approx;
using plumb_test::SimulatedLaw;

namespace {

const std::vector<Shares> kLaw{{0.3, 0.05, 0.0}, {0.1, 0.2, 0.02}, {0.0, 0.01, 0.05}};
SimulatedLaw learner(int64_t planned = 60) { return SimulatedLaw(kLaw, {3, 3, 3}, 10, planned); }

void check_shares(const Shares& got, const Shares& wanted, double tolerance = 1e-12) {
  REQUIRE(got.size() == wanted.size());
  for (size_t i = 0; i < got.size(); ++i) CHECK(std::abs(got[i] - wanted[i]) < tolerance);
}

// Chooses as it is told, and trains `own` steps itself.
class Told : public MixingPolicy {
 public:
  Told(Shares p, int64_t own) : p_(std::move(p)), own_(own) {}
  Shares proportions(Learner& learner, const RoundStart& round) override {
    rounds.push_back(round);
    for (int64_t i = 0; i < own_; ++i) learner.step(Shares(3, 1.0 / 3));
    return p_;
  }
  std::vector<RoundStart> rounds;

 private:
  Shares p_;
  int64_t own_;
};

}  // namespace

TEST_CASE("train_mixed: all steps are made, each once, the policy's own among them") {
  for (int64_t own : {0, 7}) {
    SimulatedLaw l = learner();
    Told policy({0.5, 0.25, 0.25}, own);
    int64_t watched = 0;
    MixingRun run = train_mixed(l, policy, {.steps = 60, .round = 20}, [&](const RoundRecord&) { ++watched; });
    CHECK(l.steps() == 60);
    REQUIRE(run.rounds.size() == 3);
    CHECK(watched == 3);
    for (size_t t = 0; t < 3; ++t) {
      const RoundRecord& r = run.rounds[t];
      CHECK(r.from == static_cast<int64_t>(t) * 20);
      CHECK(r.mixed_from == r.from + own);
      CHECK(r.to == r.from + 20);
      CHECK(policy.rounds[t].number == static_cast<int64_t>(t));
      CHECK(policy.rounds[t].steps == 20);
      check_shares(policy.rounds[t].losses, r.before);
      check_shares(t == 0 ? Shares{3, 3, 3} : run.rounds[t - 1].after, r.before);
      // The law on 20 − own steps of these proportions.
      double units = static_cast<double>(20 - own) / 10;
      for (size_t i = 0; i < 3; ++i)
        CHECK(r.mixed_before[i] - r.after[i] == Approx(units * (0.5 * kLaw[i][0] + 0.25 * kLaw[i][1] + 0.25 * kLaw[i][2])).epsilon(1e-10));
    }
  }
}

TEST_CASE("train_mixed: a prior rules its steps and nothing else") {
  SimulatedLaw l = learner();
  StaticMixture stratified;
  MixingRun run = train_mixed(l, stratified, {.steps = 60, .round = 20, .prior = {1, 0, 0}, .prior_steps = 40});
  REQUIRE(run.rounds.size() == 1);
  CHECK(l.steps() == 60);
  CHECK(run.rounds[0].from == 40);
  check_shares(run.rounds[0].before, {3 - 4 * 0.3, 3 - 4 * 0.1, 3}, 1e-10);
  check_shares(run.rounds[0].proportions, {1.0 / 3, 1.0 / 3, 1.0 / 3});
}

TEST_CASE("train_mixed: bad input is told by its values") {
  StaticMixture even;
  SimulatedLaw l = learner(), one({{0.1}}, {1}, 1, 60);
  CHECK_THROWS_WITH_AS(train_mixed(one, even, {.steps = 60, .round = 20}), "data mixing: there must be at least 2 groups, there is 1",
                       ValueError);
  CHECK_THROWS_WITH_AS(train_mixed(l, even, {.steps = 60, .round = 25}),
                       "data mixing: rounds of 25 steps do not divide the 60 steps after the prior's", ValueError);
  CHECK_THROWS_WITH_AS(train_mixed(l, even, {.steps = 50, .round = 25}),
                       "data mixing: 50 steps with a learner that has made 0 and is planned for 60", ValueError);
  CHECK_THROWS_WITH_AS(train_mixed(l, even, {.steps = 60, .round = 20, .prior = {0.5, 0.5, 0.5}, .prior_steps = 20}),
                       "mixture: the shares must sum to 1, they sum to 1.5", ValueError);
  StaticMixture uneven({0.5, 0.25, 0.125}), few({0.5, 0.5});
  CHECK_THROWS_WITH_AS(train_mixed(l, uneven, {.steps = 60, .round = 20}), "mixture: the shares must sum to 1, they sum to 0.875",
                       ValueError);
  CHECK_THROWS_WITH_AS(train_mixed(l, few, {.steps = 60, .round = 20}), "mixture: 2 shares for 3 groups", ValueError);
  Told greedy({1, 0, 0}, 20);
  CHECK_THROWS_WITH_AS(train_mixed(l, greedy, {.steps = 60, .round = 20}), "data mixing: the policy made 20 steps in a round of 20",
                       ValueError);
}

TEST_CASE("average_perplexity is the mean of the perplexities, not that of the losses") {
  CHECK(average_perplexity({std::log(2.0), std::log(8.0)}) == Approx(5).epsilon(1e-12));
  CHECK_THROWS_WITH_AS(average_perplexity({}), "average_perplexity: there are no losses", ValueError);
}

TEST_CASE("exponentiated_gradient_step: shares grow with their gains, however large") {
  check_shares(exponentiated_gradient_step({0.5, 0.5}, {std::log(3.0), 0}, 1), {0.75, 0.25});
  check_shares(exponentiated_gradient_step({0.2, 0.8}, {5, 5}, 3), {0.2, 0.8});
  check_shares(exponentiated_gradient_step({0.2, 0.8}, {1, 7}, 0), {0.2, 0.8});
  check_shares(exponentiated_gradient_step({0.5, 0.5}, {1000, 0}, 1), {1, 0});
  CHECK_THROWS_WITH_AS(exponentiated_gradient_step({0.5, 0.5}, {1}, 1), "exponentiated_gradient_step: 1 gains for 2 groups", ValueError);
  CHECK_THROWS_WITH_AS(exponentiated_gradient_step({0.5, 0.5}, {1, NAN}, 1),
                       "exponentiated_gradient_step: a gain must be finite, it is nan", ValueError);
  CHECK_THROWS_WITH_AS(exponentiated_gradient_step({0.5, 0.4}, {1, 1}, 1), "mixture: the shares must sum to 1, they sum to 0.9",
                       ValueError);
}

TEST_CASE("dirichlet_mixture: mixtures whose mean is even and whose spread follows α") {
  Generator g(5);
  Shares mean(3, 0);
  double square = 0;
  for (int n = 0; n < 4000; ++n) {
    Shares p = dirichlet_mixture(3, 1, g);
    CHECK(std::accumulate(p.begin(), p.end(), 0.0) == Approx(1).epsilon(1e-12));
    for (size_t i = 0; i < 3; ++i) mean[i] += p[i] / 4000;
    square += p[0] * p[0] / 4000;
  }
  for (double m : mean) CHECK(std::abs(m - 1.0 / 3) < 4 * std::sqrt(1.0 / 18 / 4000));  // variance of one share: 1/18
  CHECK(square == Approx(1.0 / 6).epsilon(0.06));
  CHECK_THROWS_WITH_AS(dirichlet_mixture(3, 0, g), "dirichlet_mixture: alpha must be positive, it is 0", ValueError);
}

TEST_CASE("SkillIt: the graph is each group's relative help to each, and weights follow it and the last losses") {
  SimulatedLaw l = learner();
  SkillIt policy({.eta = 0.5, .window = 2, .graph_steps = 20});
  CHECK(policy.prepare(l) == 60);
  CHECK(l.steps() == 0);
  REQUIRE(policy.graph().size() == 3);
  for (size_t i = 0; i < 3; ++i)
    for (size_t j = 0; j < 3; ++j) CHECK(policy.graph()[i][j] == Approx(2 * kLaw[j][i] / 3).epsilon(1e-10));  // the transpose of the law

  SkillIt known({.eta = 0.5, .window = 2}, {{0.4, 0.1}, {0, 0.2}});
  SimulatedLaw two({{1, 0}, {0, 1}}, {2, 1}, 10, 60);
  CHECK(known.prepare(two) == 0);
  auto ratio = [&](int64_t number, Shares losses) {
    Shares p = known.proportions(two, {number, 20, std::move(losses)});
    return std::log(p[0] / p[1]) / 0.5;
  };
  CHECK(ratio(0, {2, 1}) == Approx(0.5 - 0.2));  // rows' sums
  CHECK(ratio(1, {1.5, 1}) == Approx(0.4 * 1.5 + 0.1 - 0.2));
  CHECK(ratio(2, {1, 0.5}) == Approx(0.4 * 2.5 + 0.1 * 1.5 - 0.2 * 1.5));
  CHECK(ratio(3, {0.5, 0.5}) == Approx(0.4 * 1.5 + 0.1 * 1.0 - 0.2 * 1.0));  // the last two only
}

TEST_CASE("DoReMi: weights grow with the excess loss over the reference, which counts from 0, and are averaged") {
  DoReMiWeights w(2, 1, 0);
  check_shares(w.update({1.5, 2}, {1, 3}), {std::exp(0.5) / (std::exp(0.5) + 1), 1 / (std::exp(0.5) + 1)});
  double first = std::exp(0.5) / (std::exp(0.5) + 1), second = std::exp(0.5) / (std::exp(0.5) + std::exp(1.0));
  check_shares(w.update({1, 4}, {1, 3}), {second, 1 - second});
  check_shares(w.average(), {(first + second) / 2, 1 - (first + second) / 2});
  DoReMiWeights smooth(4, 1, 1e-3);
  check_shares(smooth.update({100, 0, 0, 0}, {0, 0, 0, 0}), {0.999 + 0.00025, 0.00025, 0.00025, 0.00025});
  CHECK_THROWS_WITH_AS(DoReMiWeights(1), "doremi: there must be at least 2 groups, there is 1", ValueError);
  CHECK_THROWS_WITH_AS(DoReMiWeights(2, 0), "doremi: mu must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(DoReMiWeights(2, 1, 2), "doremi: the smoothing must lie in [0, 1], it is 2", ValueError);
  CHECK_THROWS_WITH_AS(w.update({1}, {1, 2}), "doremi: 1 values for 2 groups", ValueError);
  CHECK_THROWS_WITH_AS(DoReMiWeights(2).average(), "doremi: there is no average before the first step", ValueError);
}

TEST_CASE("DoGE: weights grow with the alignment of gradients, within its limits") {
  DogeWeights w(3, 0.01);
  // s = 0.002 · (0.5, −1, 4000) / (mean norm 0.8 + 1e-6), limited to [0, 0.01].
  double s = 0.002 * 0.5 / (0.8 + 1e-6), total = std::exp(s / 0.01) + 1 + std::exp(1.0);
  check_shares(w.update({{0.5, -1, 4000}, {1, 0.6, 0.8}, 0.002}), {std::exp(s / 0.01) / total, 1 / total, std::exp(1.0) / total});
  CHECK_THROWS_WITH_AS(DogeWeights(2, 0), "doge: mu must be positive, it is 0", ValueError);
}

TEST_CASE("DoReMi and DoGE: proxies choose, then the mixture stays") {
  SimulatedLaw l = learner(), m = learner();
  DoReMi doremi({.mu = 1, .proxy_steps = 30});
  MixingRun run = train_mixed(l, doremi, {.steps = 60, .round = 20});
  CHECK(run.outside == 60);
  CHECK(l.steps() == 60);
  check_shares(run.rounds[0].proportions, run.rounds[2].proportions);
  Doge doge({.mu = 0.01, .proxy_steps = 30});
  run = train_mixed(m, doge, {.steps = 60, .round = 20});
  CHECK(run.outside == 30);
  const Shares& p = run.rounds[0].proportions;  // column sums 0.4, 0.26, 0.07
  CHECK(p[0] > p[1]);
  CHECK(p[1] > p[2]);
}

TEST_CASE("fit_mixing_laws: laws without noise are found again, and the best mixture is that of their sum") {
  std::vector<MixingLaw> truth{{{0.5, 1.2, 0.9}, 0.8}, {{1.1, 0.2, 0.9}, 0.3}, {{0.4, 0.4, -0.6}, 0.1}};
  Generator g(6);
  std::vector<Shares> mixtures, losses;
  for (int n = 0; n < 12; ++n) {
    mixtures.push_back(dirichlet_mixture(3, 1, g));
    losses.push_back({truth[0](mixtures.back()), truth[1](mixtures.back()), truth[2](mixtures.back())});
  }
  std::vector<MixingLaw> laws = fit_mixing_laws(mixtures, losses);
  for (int n = 0; n < 50; ++n) {
    Shares p = dirichlet_mixture(3, 1, g);
    for (size_t i = 0; i < 3; ++i) CHECK(laws[i](p) == Approx(truth[i](p)).epsilon(1e-4));
  }
  Shares best = best_mixture(truth);
  auto total = [&](const Shares& p) { return truth[0](p) + truth[1](p) + truth[2](p); };
  double least = total(best);
  for (int a = 0; a <= 100; ++a)
    for (int b = 0; a + b <= 100; ++b) CHECK(total({a / 100.0, b / 100.0, (100 - a - b) / 100.0}) >= least - 1e-9);
}

TEST_CASE("LawMixture: runs, fits and keeps the mixture; bad input is told by its values") {
  SimulatedLaw l = learner();
  LawMixture policy({.runs = 8, .run_steps = 20, .seed = 3});
  MixingRun run = train_mixed(l, policy, {.steps = 60, .round = 20});
  CHECK(run.outside == 160);
  CHECK(policy.laws().size() == 3);
  CHECK(run.rounds[0].proportions[0] > 0.95);  // the simulated law is linear, and the first group's column sum is the largest
  LawMixture few({.runs = 3});
  CHECK_THROWS_WITH_AS(few.check(l, {}), "mixing law: 3 runs do not determine a law of 3 groups; it takes 4", ValueError);
  CHECK_THROWS_WITH_AS(fit_mixing_laws({{1, 0}, {0, 1}, {0.5, 0.5}}, {{1}, {2}, {-1}}), "mixing law: a loss must be positive, it is -1",
                       ValueError);
  CHECK_THROWS_WITH_AS(fit_mixing_laws({{1, 0}}, {}), "mixing law: 1 mixtures and 0 losses", ValueError);
  SkillIt graph({.eta = 1}, {{1, 2}, {3, 4}});
  CHECK_THROWS_WITH_AS(graph.check(l, {}), "skill-it: 2 values for 3 groups", ValueError);
}
