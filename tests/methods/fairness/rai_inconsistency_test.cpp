// The suite, its incompatibilities, trainers and reports against the numbers of the card and numbers worked out with NumPy; the audit's
// page; the experiments at the smoke budget.
#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "engine/autograd/grad_mode.h"
#include "methods/fairness/rai_inconsistency/audit.h"
#include "methods/fairness/rai_inconsistency/objectives.h"
#include "methods/fairness/rai_inconsistency/pool.h"
#include "methods/fairness/rai_inconsistency/provenance.h"
#include "methods/runner.h"
#include "models/metrics/loss_attack.h"
#include "models/metrics/pareto.h"
#include "models/mlp/mlp.h"
#include "models/optim/objectives.h"
#include "ops/elementary.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tests/methods/check_close.h"
#include "tests/methods/measured.h"

using namespace plumb;
using namespace plumb::methods;
namespace rai = plumb::methods::rai_inconsistency;

namespace plumb::methods {
namespace rai_inconsistency {
Experiment experiment();
}
namespace rai_inconsistency_pool {
Experiment experiment();
}
}  // namespace plumb::methods

namespace {

Tensor groups() { return tensor({1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0}); }
Tensor labels() { return tensor({1, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0}); }
Tensor predictions() { return tensor({.9, .8, .4, .7, .3, .2, .8, .3, .6, .4, .2, .1}, f64); }

void check_values(const std::vector<double>& got, const std::vector<double>& wanted, double relative = 3e-6) {
  check_close(from_vector(got), wanted, relative);
}

Tensor flat_model(const Tensor& x) { return select(x, 1, 0) - 2 * select(x, 1, 1) + 0.5; }

}  // namespace

TEST_CASE("rai_inconsistency: the card's example, every measure") {
  rai::MetricSuite s = rai::evaluate(predictions(), labels(), groups());
  auto value = [&](const char* name) { return rai::value_of(s, name); };
  CHECK(value("error") == doctest::Approx(1 - .666667).epsilon(2e-6));
  CHECK(value("Brier") == doctest::Approx(.1775));
  CHECK(value("NLL") == doctest::Approx(.517610).epsilon(2e-6));
  CHECK(value("1 − AUC") == doctest::Approx(1 - .8285714285714286));
  CHECK(value("ECE") == doctest::Approx(.24166666666666664));
  CHECK(value("demographic parity") == doctest::Approx(.5 - .333333).epsilon(4e-6));
  CHECK(value("disparate impact") == doctest::Approx(1 - .333333 / .5).epsilon(4e-6));
  CHECK(value("equal opportunity") == doctest::Approx(.5 - .333333).epsilon(4e-6));
  CHECK(value("equalised odds") == doctest::Approx(.5 - .333333).epsilon(4e-6));  // the FPR gap is .0833
  CHECK(value("predictive parity") == doctest::Approx(.666667 - .5).epsilon(4e-6));
  CHECK(value("calibration in the large") == doctest::Approx(.0666667).epsilon(1e-6));
  CHECK(value("group ECE gap") == doctest::Approx(.36666666666666664 - .35));
  CHECK(value("balance +") == doctest::Approx(.7 - .55));
  CHECK(value("balance −") == doctest::Approx(.4 - .325));
  CHECK(value("worst-group error") == doctest::Approx(1. / 3));
  CHECK(value("generalised entropy") == doctest::Approx(.166667).epsilon(3e-6));
  CHECK(value("Theil index") == doctest::Approx(.231049).epsilon(3e-6));
  CHECK(value("error under group shift") == doctest::Approx(1. / 3));
  CHECK(s.size() == 18);
  CHECK_THROWS_WITH_AS(value("luck"), "rai_inconsistency: the suite has no measure \"luck\"", ValueError);
}

TEST_CASE("rai_inconsistency: the identity, its implied gap, and the bounds on the card's example") {
  rai::IncompatibilityReport r = rai::incompatibilities(predictions(), labels(), groups());
  REQUIRE(r.groups.size() == 2);
  const auto &zero = r.groups[0], &one = r.groups[1];
  check_values({one.base_rate, one.selection_rate, one.ppv, one.false_positive_rate, one.false_negative_rate},
               {.5, .5, .666667, .333333, .333333});
  check_values({zero.base_rate, zero.selection_rate, zero.ppv, zero.false_positive_rate, zero.false_negative_rate},
               {.333333, .333333, .5, .25, .5});
  check_values({one.identity, zero.identity}, {.333333, .25});
  CHECK(r.residual < 1e-12);
  check_values({r.pooled_ppv, r.pooled_fnr, zero.implied, one.implied, r.implied_gap}, {.6, .4, .2, .4, .2});
  check_values({r.calibration, r.balance_positive, r.balance_negative, r.kleinberg()}, {.0666667, .15, .075, .15});
  CHECK(r.base_rate_gap == doctest::Approx(1. / 6));
  CHECK(r.zhao_gordon_slack == doctest::Approx(2. / 3));
  CHECK(rai::implied_false_positive_rate(.5, .6, .3) == doctest::Approx(.466667).epsilon(2e-6));
  CHECK(rai::implied_false_positive_rate(.3, .6, .3) == doctest::Approx(.2));
  CHECK(std::isnan(rai::implied_false_positive_rate(1, .6, .3)));
  CHECK(std::isnan(rai::implied_false_positive_rate(.5, 0, .3)));
}

TEST_CASE("rai_inconsistency: the slack of Zhao and Gordon is never negative and the residual 0, whatever is decided") {
  Generator g(11);
  for (int repeat = 0; repeat < 200; ++repeat) {
    std::vector<double> p, y, a;
    for (int i = 0; i < 30; ++i) {
      p.push_back(g.next_double());
      y.push_back(static_cast<double>(g.next_below(2)));
      a.push_back(i < 2 ? i : static_cast<double>(g.next_below(3)));
    }
    rai::IncompatibilityReport r = rai::incompatibilities(from_vector(p), from_vector(y), from_vector(a));
    CHECK(r.zhao_gordon_slack >= -1e-12);
    CHECK(r.residual < 1e-9);
  }
}

TEST_CASE("rai_inconsistency: a perfect classifier, and constant ones") {
  Tensor y = labels(), a = groups();
  rai::MetricSuite perfect = rai::evaluate(to(y, f64), y, a);
  for (const char* name :
       {"error", "Brier", "1 − AUC", "ECE", "equal opportunity", "equalised odds", "predictive parity", "calibration in the large",
        "balance +", "balance −", "worst-group error", "generalised entropy", "error under group shift"})
    CHECK_MESSAGE(rai::value_of(perfect, name) == doctest::Approx(0), name);
  CHECK(rai::value_of(perfect, "NLL") < 1e-11);
  CHECK(rai::value_of(perfect, "demographic parity") == doctest::Approx(1. / 6));
  rai::MetricSuite none = rai::evaluate(zeros({12}, f64), y, a), everyone = rai::evaluate(ones({12}, f64), y, a);
  for (const auto& s : {none, everyone})
    for (const char* name : {"demographic parity", "equalised odds", "equal opportunity"}) CHECK(rai::value_of(s, name) == 0);
  CHECK(std::isnan(rai::value_of(none, "predictive parity")));
  CHECK(std::isnan(rai::value_of(none, "disparate impact")));
  CHECK(rai::value_of(everyone, "predictive parity") == doctest::Approx(1. / 6));  // PPV_a = b_a
  CHECK(rai::value_of(everyone, "disparate impact") == 0);
}

TEST_CASE("rai_inconsistency: what is undefined is NaN, what makes no sense an error") {
  Tensor y = tensor({1, 0, 0, 0}), a = tensor({0, 0, 1, 1}), p = tensor({.9, .2, .6, .4});
  rai::MetricSuite s = rai::evaluate(p, y, a);
  CHECK(std::isnan(rai::value_of(s, "equal opportunity")));  // group 1 has no y = 1
  CHECK(std::isnan(rai::value_of(s, "equalised odds")));
  CHECK(std::isnan(rai::value_of(s, "balance +")));
  CHECK(rai::value_of(s, "balance −") == doctest::Approx(.3));
  CHECK(std::isnan(rai::value_of(rai::evaluate(p, zeros({4}, i64), a), "1 − AUC")));
  CHECK(std::isnan(rai::incompatibilities(p, y, a).kleinberg()));
  CHECK_THROWS_WITH_AS(rai::evaluate(p, y, zeros({4}, i64)), "rai_inconsistency: all 4 rows are of one group; gaps between groups need two",
                       ValueError);
  CHECK_THROWS_WITH_AS(rai::evaluate(tensor({.9, 1.2, .6, .4}), y, a), "group_probabilities: probability 1 is 1.2", ValueError);
  CHECK_THROWS_WITH_AS(rai::evaluate(p, tensor({1, 0, 2, 0}), a), "group_probabilities: label 2 must be 0 or 1, it is 2",
                       ValueError);
  CHECK_THROWS_AS(rai::evaluate(p, tensor({1, 0}), a), ShapeError);
}

TEST_CASE("rai_inconsistency: neighbours, membership, private noise, FGSM by the card's numbers") {
  std::vector<double> off = rai::neighbour_inconsistency(tensor({1, 0, 1, 1}), tensor({{0.}, {.1}, {1.}, {1.2}}), 1);
  CHECK((off[0] + off[1] + off[2] + off[3]) / 4 == doctest::Approx(.5));
  auto attack = metrics::loss_threshold_attack(std::vector{.1, .2, .3, .9}, std::vector{.25, .6, .8, 1.2});
  CHECK(attack.advantage == doctest::Approx(.5));
  CHECK(attack.auc == doctest::Approx(.75));
  rai::PrivacyCost cost = rai::zcdp_cost(100, 10, 1e-5);
  CHECK(cost.rho == doctest::Approx(.5));
  CHECK(cost.epsilon == doctest::Approx(5.29853).epsilon(2e-6));
  CHECK_THROWS_AS(rai::zcdp_cost(1, 0, 1e-5), ValueError);
  Tensor x = tensor({{1., 0.}, {0., 1.}, {.2, .1}, {-1., -.5}}, f64), y = tensor({1, 0, 1, 1});
  Tensor sign_of = tensor({1., -1., 1., 1.}, f64);
  check_close(flat_model(x) * sign_of, {1.5, 1.5, .5, .5});
  for (double epsilon : {.1, .3}) {
    Tensor margins = flat_model(rai::fgsm(flat_model, x, y, epsilon)) * sign_of;
    check_close(margins, {1.5 - 3 * epsilon, 1.5 - 3 * epsilon, .5 - 3 * epsilon, .5 - 3 * epsilon});
  }
  rai::EvalContext context{.others = x, .features = x, .model = flat_model, .noise = 0, .fgsm = .3};
  context.neighbours = 1;
  context.member_losses = {.1, .2, .3, .9}, context.other_losses = {.25, .6, .8, 1.2};
  rai::MetricSuite s = rai::evaluate(sigmoid(flat_model(x)), y, tensor({0, 1, 0, 1}), context);
  CHECK(rai::value_of(s, "error under FGSM") == doctest::Approx(.5));
  CHECK(rai::value_of(s, "error under noise") == 0);
  CHECK(rai::value_of(s, "membership advantage") == doctest::Approx(.5));
  CHECK(s.size() == 23);
  for (const auto& m : s) CHECK(rai::sheet_of(m.name).kind == m.kind);  // every measure has a sheet, and agrees with it on its kind
  CHECK(rai::provenance_sheets().size() == 23);
}

TEST_CASE("rai_inconsistency: the frontier of thresholds, against an enumeration with NumPy") {
  rai::ThresholdFrontier f = rai::frontier(predictions(), labels(), groups(), 10, .1);
  CHECK(f.pairs().size() == 100);
  check_values({f.best_error(), f.feasibility({1}), f.joint_level(), f.least_error(0, .1), f.least_error(1, .2)},
               {1. / 6, 1. / 6, 1. / 6, .25, 1. / 6}, 1e-9);
  CHECK(f.feasibility({0}) < 1e-12);
  CHECK(f.feasibility({2}) < 1e-12);
  CHECK(f.contradiction(0, 2) == doctest::Approx(0));
  CHECK(f.contradiction(0, 1) == doctest::Approx(0));
  CHECK(std::isinf(f.least_error({0, 1, 2}, -1)));
  CHECK_THROWS_WITH_AS(rai::frontier(predictions(), labels(), tensor({0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2})),
                       "frontier: takes two groups, there are 3", ValueError);
  CHECK_THROWS_WITH_AS(rai::frontier(predictions(), tensor({1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}), groups()),
                       "frontier: group 0 has no row with label 1", ValueError);
  CHECK_THROWS_WITH_AS(rai::frontier(predictions(), labels(), groups(), 0),
                       "frontier: needs a grid >= 1 and a budget >= 0, got 0 and 0.05", ValueError);
}

TEST_CASE("rai_inconsistency: definitions contradict each other where base rates differ, and hardly where they do not") {
  Generator g(3);
  for (double gap : {0.0, 0.4}) {
    std::vector<double> p, y, a;
    for (int i = 0; i < 4000; ++i) {
      double group = i % 2, risk = std::clamp((g.next_double() + g.next_double()) / 2 + gap * (group - .5), .02, .98);
      p.push_back(risk), a.push_back(group), y.push_back(g.next_double() < risk);
    }
    rai::ThresholdFrontier f = rai::frontier(from_vector(p), from_vector(y), from_vector(a), 50, .05);
    if (gap == 0)
      CHECK(f.joint_level() < .06);
    else
      CHECK(f.joint_level() > .12);
    for (size_t d = 0; d < rai::kDefinitions; ++d) CHECK(f.feasibility({d}) <= f.joint_level());
  }
}

TEST_CASE("rai_inconsistency: PCGrad, MGDA and Chebyshev by the card's numbers") {
  auto list = [](double a, double b) { return optim::GradientList{tensor({a, b}, f64)}; };
  Generator g(0);
  check_close(optim::pcgrad({list(1, 2), list(-3, 1)}, g)[0], {-2.1, 3.5});
  check_close(optim::pcgrad({list(1, 2), list(-2, 1.5)}, g)[0], {-1, 3.5});
  CHECK(optim::mgda_weights({list(1, 2), list(-3, 1)})[0] == doctest::Approx(.647059).epsilon(2e-6));
  check_close(optim::mgda({list(1, 2), list(-3, 1)})[0], {-.411765, 1.64706});
  std::vector<Tensor> f{tensor({.4}, f64), tensor({.3}, f64)};
  CHECK(rai::smooth_chebyshev(f, {.5, .5}, {0, 0}, .1).item() == doctest::Approx(.247408).epsilon(2e-6));
  CHECK(rai::smooth_chebyshev(f, {.5, .5}, {0, 0}, 1e-4).item() == doctest::Approx(.2).epsilon(1e-3));
  CHECK_THROWS_WITH_AS(rai::smooth_chebyshev(f, {.5}, {0, 0}, .1), "smooth_chebyshev: 2 losses, 1 weights, 2 ideal values", ShapeError);
  CHECK_THROWS_WITH_AS(rai::smooth_chebyshev(f, {.5, .5}, {0, 0}, 0), "smooth_chebyshev: mu must be positive, it is 0", ValueError);
}

TEST_CASE("rai_inconsistency: an augmented Lagrangian finds the constrained minimum") {
  // (x − 2)² with x ≤ 1: x = 1, multiplier 2.
  double x = 0;
  rai::AugmentedLagrangian l({1}, 10);
  for (int k = 0; k < 400; ++k) {
    Tensor at = tensor({x}, f64).requires_grad_();
    std::vector<Tensor> f{squeeze(square(at - 2.0), 0), squeeze(at, 0)};
    l.loss(f).backward();
    x -= 0.05 * at.grad().item();
    if (k % 10 == 9) l.update({tensor({(x - 2) * (x - 2)}, f64), tensor({x}, f64)});
  }
  CHECK(x == doctest::Approx(1).epsilon(1e-4));
  CHECK(l.multipliers()[0] == doctest::Approx(2).epsilon(1e-3));
  CHECK_THROWS_WITH_AS(l.loss({tensor({1.})}), "augmented_lagrangian: 1 losses for 1 bounds", ShapeError);
}

namespace {

struct Problem {
  Tensor x, y, a;
  mlp::Mlp network;
};

Problem small_problem() {
  manual_seed(4);
  Generator g(8);
  std::vector<double> x, y;
  std::vector<int64_t> a;
  for (int i = 0; i < 120; ++i) {
    int64_t group = i % 2;
    double u = g.next_double() - .5 + .3 * static_cast<double>(group), v = g.next_double() - .5;
    x.push_back(u), x.push_back(v), a.push_back(group), y.push_back(u + v + .3 * (g.next_double() - .5) > .15);
  }
  return {to(from_vector(x, {120, 2}), f32), to(from_vector(y), f32), from_vector(a), mlp::Mlp({.inputs = 2, .hidden = {8}, .outputs = 1})};
}

std::vector<double> trained(const Problem& p, const std::vector<rai::Objective>& objectives, const rai::TrainOptions& options,
                            rai::TrainResult* result = nullptr) {
  mlp::Mlp network = p.network;
  manual_seed(6);
  auto model = [&](const Tensor& x) { return squeeze(network(x), 1); };
  rai::TrainResult r = rai::train_multi_objective(network, model, p.x, p.y, p.a, objectives, options);
  if (result) *result = r;
  NoGrad off;
  return to_vector(sigmoid(model(p.x)));
}

}  // namespace

TEST_CASE("rai_inconsistency: an objective of weight 0 changes no bit, and looking at conflicts neither") {
  Problem p = small_problem();
  std::vector<rai::Objective> one{rai::cross_entropy_objective()},
      three{rai::cross_entropy_objective(), rai::demographic_parity_objective(), rai::noise_objective()};
  std::vector<double> plain = trained(p, one, {.steps = 30});
  CHECK(trained(p, three, {.weights = {1, 0, 0}, .steps = 30}) == plain);
  rai::TrainResult looked;
  std::vector<double> noisy = trained(p, three, {.weights = {1, 1, 1}, .steps = 30});
  CHECK(trained(p, three, {.weights = {1, 1, 1}, .steps = 30, .watch_every = 5}, &looked) == noisy);
  CHECK(noisy != plain);
  CHECK(looked.conflict.looks == 6);
  CHECK(looked.conflict.cosine[0] == doctest::Approx(1).epsilon(1e-5));
  CHECK(looked.conflict.cosine[1] == doctest::Approx(looked.conflict.cosine[3]));
}

TEST_CASE("rai_inconsistency: every way to combine objectives closes some of the gap that it was told to close") {
  Problem p = small_problem();
  auto gap = [&](const std::vector<double>& prediction) {
    double total = 0;
    for (size_t i = 0; i < prediction.size(); ++i) total += prediction[i] * (i % 2 ? 1 : -1) / 60;
    return std::abs(total);
  };
  std::vector<rai::Objective> two{rai::cross_entropy_objective(), rai::demographic_parity_objective()};
  double plain = gap(trained(p, two, {.weights = {1, 0}, .steps = 150}));
  CHECK(plain > .1);
  for (auto combine :
       {rai::Combine::weighted_sum, rai::Combine::chebyshev, rai::Combine::pcgrad, rai::Combine::mgda, rai::Combine::epsilon_constraint}) {
    CAPTURE(static_cast<int>(combine));
    rai::TrainOptions o{.combine = combine, .weights = {1, 30}, .bounds = {.001}, .rho = 300, .steps = 300};
    double closed = gap(trained(p, two, o));
    // MGDA stops wherever no direction is good for both: it promises less.
    CHECK(closed < (combine == rai::Combine::mgda ? .9 : .7) * plain);
    if (combine == rai::Combine::epsilon_constraint) CHECK(closed < .07);  // √.001 is .032
  }
  CHECK_THROWS_WITH_AS(trained(p, two, {.weights = {1}}), "train_multi_objective: 2 objectives, 1 weights", ShapeError);
  CHECK_THROWS_WITH_AS(trained(p, two, {.weights = {0, 0}}), "train_multi_objective: all weights are 0", ValueError);
  CHECK_THROWS_WITH_AS(trained(p, two, {.weights = {1, -1}}),
                       "train_multi_objective: weights must be finite and not negative, one is -1", ValueError);
  CHECK_THROWS_WITH_AS(trained(p, two, {.combine = rai::Combine::epsilon_constraint}),
                       "train_multi_objective: 0 bounds for 2 objectives; the first has none", ShapeError);
  CHECK_THROWS_WITH_AS(trained(p, {}, {}), "train_multi_objective: there are no objectives", ValueError);
}

TEST_CASE("rai_inconsistency: Pareto, hypervolume and Rashomon by the card's numbers") {
  rai::Matrix points{{.2, .6}, {.4, .3}, {.7, .1}, {.5, .5}};
  CHECK(metrics::pareto_set(points) == std::vector<size_t>{0, 1, 2});
  CHECK(metrics::hypervolume(points, {1, 1}) == doctest::Approx(.56));
  std::vector<std::vector<int>> decisions{{1, 1, 0, 0, 1}, {1, 0, 0, 0, 1}, {1, 1, 0, 1, 1}};
  rai::RashomonReport r = rai::rashomon({.1, .11, .12}, decisions, {{1, 5}, {2, 4}, {3, 6}}, .02);
  CHECK(r.members == std::vector<size_t>{0, 1, 2});
  CHECK(r.ambiguity == doctest::Approx(.4));
  CHECK(r.discrepancy == doctest::Approx(.2));
  CHECK(r.low == std::vector<double>{1, 4});
  CHECK(r.high == std::vector<double>{3, 6});
  rai::RashomonReport strict = rai::rashomon({.1, .11, .12}, decisions, {}, 0);
  CHECK(strict.members == std::vector<size_t>{0});
  CHECK(strict.ambiguity == 0);
  CHECK_THROWS_WITH_AS(rai::rashomon({.1}, decisions, {}), "rashomon: 1 errors, 3 rows of decisions, 0 of measures", ShapeError);
}

TEST_CASE("rai_inconsistency: winners, regret, compromise and stakeholders by the card's pay-off") {
  rai::Matrix payoff{{.10, .30, .20}, {.12, .10, .25}, {.15, .20, .05}, {.11, .25, .15}};
  rai::Winners w = rai::winners(payoff);
  CHECK(w.winner == std::vector<size_t>{0, 1, 2});
  CHECK(w.distinct == 3);
  CHECK(w.regret[0][1] == doctest::Approx(.2));
  rai::Compromise c = rai::compromise(payoff);
  check_values(c.ideal, {.10, .10, .05});
  check_values(c.nadir, {.15, .30, .25});
  check_values(c.worst, {1, 1, 1, .75});
  CHECK(c.level == doctest::Approx(.75));
  CHECK(c.model == 3);
  rai::Choices chosen = rai::choices(payoff, {{"accuracy", {1, 0, 0}}, {"all", {1, 1, 1}}});
  CHECK(chosen.model == std::vector<size_t>{0, 1});  // sums of z: 1.75, 1.4, 1.5, 1.45
  CHECK(chosen.regret[0][1] == doctest::Approx(.35));
  CHECK(chosen.regret[1][0] == doctest::Approx(.4));
  CHECK(chosen.regret[0][0] == 0);
  rai::Compromise agreed = rai::compromise({{1, 2}, {2, 3}});  // one model is best by both
  CHECK(agreed.level == 0);
  CHECK_THROWS_WITH_AS(rai::winners({{1, NAN}}), "winners: a measure is not finite", ValueError);
  CHECK_THROWS_WITH_AS(rai::winners({{1, 2}, {1}}), "winners: a model has 1 measures, the first 2", ShapeError);
  CHECK_THROWS_WITH_AS(rai::choices(payoff, {{"few", {1}}}), "choices: few has 1 weights for 3 measures", ShapeError);
}

TEST_CASE("rai_inconsistency: leave-one-out R² and effective rank, against refits with NumPy") {
  rai::Matrix pool{{.20, .10, .30}, {.22, .14, .25}, {.25, .20, .31}, {.21, .13, .22}, {.30, .22, .40}, {.27, .16, .20}};
  CHECK(rai::leave_one_out_r2(pool, 0, {1}) == doctest::Approx(.5722489815163128));
  CHECK(rai::leave_one_out_r2(pool, 0, {1, 2}) == doctest::Approx(-.05812606080106253));
  CHECK(rai::leave_one_out_r2(pool, 2, {0}) == doctest::Approx(-1.3880702123412596));
  CHECK(rai::effective_rank(pool) == doctest::Approx(1.8813257810282316));
  CHECK(rai::effective_rank({{1, 2, 7}, {2, 4, 7}, {3, 6, 7}}) == doctest::Approx(1));
  CHECK(std::isnan(rai::leave_one_out_r2({{1, 2}, {1, 3}, {1, 4}}, 0, {1})));
  rai::Matrix rho = rai::rank_correlations(pool);
  CHECK(rho[0][0] == doctest::Approx(1));
  CHECK(rho[0][1] == doctest::Approx(1 - 6. * (0 + 0 + 1 + 0 + 0 + 1) / (6 * 35)));  // ranks 1 3 4 2 6 5 and 1 3 5 2 6 4
}

TEST_CASE("rai_inconsistency: an audit measures every group, its intervals hold what it saw, and its page says it all") {
  Generator g(2);
  std::vector<double> p, y;
  std::vector<int64_t> a;
  for (int i = 0; i < 300; ++i) {
    int64_t group = i % 3;
    double risk = .35 + .15 * static_cast<double>(group) + .5 * (g.next_double() - .5);
    p.push_back(risk), y.push_back(g.next_double() < risk), a.push_back(group);
  }
  rai::AuditInput in{.model = "<model>", .data = "people.csv", .protected_column = "town", .group_names = {"A", "B", "C"}};
  in.p = from_vector(p), in.y = from_vector(y), in.a = from_vector(a);
  in.resamples = 60, in.permutations = 19, in.grid = 30;
  rai::Audit result = rai::audit(in, g);
  CHECK(result.measures.size() == 18);
  rai::MetricSuite direct = rai::evaluate(in.p, in.y, in.a);
  for (size_t k = 0; k < direct.size(); ++k) {
    const auto& m = result.measures[k];
    CHECK(m.range.value == direct[k].value);
    CHECK_MESSAGE(m.range.low < m.range.high, m.measure.name);
    CHECK(std::isnan(m.chance) == (m.measure.kind != "group fairness"));
  }
  CHECK(result.measures[5].measure.name == "demographic parity");
  CHECK(result.measures[5].p_value == doctest::Approx(.05));  // three groups this far apart: no permutation comes near
  CHECK(result.measures[5].chance < result.measures[5].range.value / 2);
  REQUIRE(result.trade_off);
  CHECK(result.trade_off->groups[0] == 0);
  CHECK(result.trade_off->joint.value == result.trade_off->frontier.joint_level());
  for (const auto& c : result.trade_off->contradictions) {
    CHECK(c.together.value == result.trade_off->frontier.feasibility({c.first, c.second}));
    CHECK(c.excess.value == result.trade_off->frontier.contradiction(c.first, c.second));
  }
  CHECK(result.trade_off->contradictions[0].excess.value >= result.trade_off->contradictions[2].excess.value);
  std::string page = rai::audit_page(in, result);
  for (const char* part :
       {"Audit: &lt;model&gt;", "<td>B</td>", "equalised odds", "groups deserve equal shares", "Privacy was not measured"})
    CHECK_MESSAGE(page.find(part) != std::string::npos, part);
  CHECK(rai::audit_text(in, result).find("\n  group ") != std::string::npos);
  in.group_names = {"A", "B", "C", "D"};
  CHECK_THROWS_WITH_AS(rai::audit(in, g), "audit: group \"D\" of town has no rows; rates within a group need at least two", ValueError);
}

TEST_CASE("rai_inconsistency: the experiment measures every variant at the smoke budget") {
  Results results = run_experiment({"fairness", "rai_inconsistency", &rai::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  CHECK(results.cells.size() == rai::experiment().variants.size());
  for (const auto& v : rai::experiment().variants) {
    CAPTURE(v.name);
    CHECK(measured(results, v.name, "NLL, test") > 0);
    CHECK(measured(results, v.name, "demographic parity, test") >= 0);
    CHECK(measured(results, v.name, "error, test (%)") < 55);
  }
  CHECK(measured(results, "accuracy only", "NLL, test") != measured(results, "demographic parity, λ = 3", "NLL, test"));
}

TEST_CASE("rai_inconsistency_pool: every table's pool obeys the identities at the smoke budget") {
  auto experiment = &rai_inconsistency_pool::experiment;
  Results results = run_experiment({"fairness", "rai_inconsistency_pool", experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  CHECK(results.cells.size() == experiment().variants.size());
  for (const auto& v : experiment().variants) {
    CAPTURE(v.name);
    CHECK(measured(results, v.name, "identity residual") < 1e-9);
    CHECK(measured(results, v.name, "Zhao–Gordon slack") >= -1e-12);
    CHECK(measured(results, v.name, "distinct winners") >= 1);
    CHECK(measured(results, v.name, "effective rank") >= 1 - 1e-9);
    CHECK(measured(results, v.name, "joint level t*") >= measured(results, v.name, "largest single level"));
  }
}
