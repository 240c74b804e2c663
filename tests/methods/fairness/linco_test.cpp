// LInCo against the card's numbers, its invariances, the null floor, debiasing, mistakes, and the experiments at the smoke budget.
#include "methods/fairness/linco/linco.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/backward.h"
#include "engine/core/generator.h"
#include "methods/fairness/linco/debias.h"
#include "methods/fairness/linco/judges.h"
#include "methods/fairness/linco/synthetic.h"
#include "methods/runner.h"
#include "ops/elementary.h"
#include "ops/gradient_reversal.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/check_close.h"
#include "tests/methods/measured.h"

using namespace plumb;
using namespace plumb::methods;

namespace plumb::methods {
namespace linco {
Experiment experiment();
}
namespace linco_debias {
Experiment experiment();
}
namespace linco_tables {
Experiment experiment();
}
}  // namespace plumb::methods

namespace {

Tensor months() { return tensor({{10., 12., 14.}, {24., 24., 24.}, {6., 8., 7.}}, f64); }

}  // namespace

TEST_CASE("linco: the card's judgments in months and in logarithms, with the population's deviation") {
  check_close(linco::case_deviation(months()), {1.632993, 0, .816497});
  CHECK(linco::linco(months()) == doctest::Approx(.816497).epsilon(1e-6));
  CHECK(linco::linco(months()) != doctest::Approx(1));  // what dividing by K − 1 would give
  Tensor t = log(months() + 1);
  check_close(linco::case_deviation(t), {.126746, 0, .102666}, 5e-6);
  CHECK(linco::linco(t) == doctest::Approx(.0764706).epsilon(1e-6));
  check_close(linco::log_terms({0, 9, 23}), {0, std::log(10), std::log(24)});
}

TEST_CASE("linco: two judges, one judge, equal judges, and what leaves it as it is") {
  Tensor two = tensor({{1., 4.}, {2., 1.}, {5., 5.}}, f64);
  CHECK(linco::linco(two) == doctest::Approx((3 + 1 + 0) / 3. / 2));
  CHECK(linco::linco(tensor({{1.}, {7.}}, f64)) == 0);
  CHECK(linco::linco(tensor({{3., 3., 3.}, {1., 1., 1.}}, f64)) == 0);
  Generator g(1);
  Tensor j = randn({40, 4}, {.dtype = f64, .generator = &g}), of_case = randn({40, 1}, {.dtype = f64, .generator = &g});
  double l = linco::linco(j);
  check_close(linco::case_deviation(j + of_case), to_vector(linco::case_deviation(j)), 1e-12);
  CHECK(linco::linco(j * -2.5) == doctest::Approx(2.5 * l));
  CHECK(linco::linco(flip(j, {0})) == doctest::Approx(l));
  CHECK(linco::linco(flip(j, {1})) == doctest::Approx(l));
  // Identical judges with offsets β s_k: β std(s) exactly.
  Tensor same = expand(of_case, {40, 3}), offset = tensor({-.1, 0., .1}, f64);
  CHECK(linco::linco(same + offset) == doctest::Approx(.0816497).epsilon(1e-6));
}

TEST_CASE("linco: decisions by Jensen and Shannon") {
  CHECK(linco::linco_classification(tensor({{{1., 0.}, {0., 1.}}}, f64)) == doctest::Approx(.693147).epsilon(1e-6));
  CHECK(linco::linco_classification(tensor({{{.3, .7}, {.3, .7}}, {{1., 0.}, {1., 0.}}}, f64)) == doctest::Approx(0));
  double h = -(.25 * std::log(.25) + .75 * std::log(.75));
  CHECK(linco::linco_classification(tensor({{{.5, .5}, {0., 1.}}}, f64)) == doctest::Approx(h - .5 * std::log(2)));
}

TEST_CASE("linco: excess, p-value and severity") {
  std::vector<double> nulls{.031, .095, .03, .033};
  CHECK(linco::permutation_p_value(.0931, nulls) == doctest::Approx(.4));
  CHECK(linco::permutation_p_value(.5, nulls) == doctest::Approx(.2));
  CHECK(linco::excess(.05, .03) == doctest::Approx(.04));
  CHECK(linco::excess(.02, .03) == 0);
  linco::SeverityBins bins = linco::by_severity(std::vector<double>{5, 1, 3, 2, 4, 6}, std::vector<double>{.1, .6, .4, .5, .3, .2}, 3);
  CHECK(bins.severity == std::vector<double>{1.5, 3.5, 5.5});
  CHECK(bins.linco[0] == doctest::Approx(.55));
  CHECK(bins.linco[2] == doctest::Approx(.15));
  CHECK(bins.rank_correlation == doctest::Approx(-1));
}

TEST_CASE("linco: gradient reversal is the identity forward and −γ backward") {
  for (double gamma : {0.0, 0.7}) {
    Tensor x = tensor({1., -2.}, f64).requires_grad_(), y = gradient_reversal(x, gamma);
    CHECK(to_vector(y) == to_vector(x));
    sum(y * tensor({3., 5.}, f64)).backward();
    check_close(x.grad(), {-3 * gamma, -5 * gamma}, 1e-12);
  }
  CHECK(linco::reversal_ramp(0) == doctest::Approx(0));
  CHECK(linco::reversal_ramp(1) == doctest::Approx(2 / (1 + std::exp(-10.)) - 1));
}

TEST_CASE("linco: generated cases follow their rule, and their truth is β std(s)") {
  CHECK(linco::make_synthetic({.groups = 3, .beta = .2, .train = 30, .evaluation = 30}, 0).truth ==
        doctest::Approx(.2 * .816497).epsilon(1e-6));
  CHECK(linco::make_synthetic({.groups = 2, .beta = .2, .train = 30, .evaluation = 30}, 0).truth == doctest::Approx(.2));
  CHECK(linco::make_synthetic({.groups = 1, .beta = .2, .train = 30, .evaluation = 30}, 0).truth == 0);
  CHECK(linco::make_synthetic({.beta = .3, .train = 30, .evaluation = 30, .interaction = true}, 0).truth ==
        doctest::Approx(.3 * .816497 * .3).epsilon(1e-6));
  linco::SyntheticJudgments with = linco::make_synthetic({.beta = .2, .train = 3000, .evaluation = 30}, 4),
                            without = linco::make_synthetic({.beta = 0, .train = 3000, .evaluation = 30}, 4);
  CHECK(to_vector(with.train.x) == to_vector(without.train.x));
  for (size_t i = 0; i < 30; ++i) {  // the same case, decided by its group's rule
    double stance = static_cast<double>(with.train.group[i]) - 1;
    CHECK(std::log1p(with.train.months[i]) - std::log1p(without.train.months[i]) == doctest::Approx(.2 * stance));
  }
  CHECK(mean(with.train.x).item() == doctest::Approx(.3).epsilon(.02));
  linco::SyntheticJudgments few = linco::make_synthetic({.train = 4000, .evaluation = 30, .shares = {.6, .3, .1}}, 1);
  CHECK(static_cast<double>(std::count(few.train.group.begin(), few.train.group.end(), 2)) == doctest::Approx(400).epsilon(.15));
  CHECK_THROWS_AS(linco::make_synthetic({.groups = 0}, 0), ValueError);
  CHECK_THROWS_WITH_AS(linco::make_synthetic({.shares = {1}}, 0), "linco: 1 shares for 3 groups", ValueError);
}

TEST_CASE("linco: ridge judges by hand, and judges of one start that see the same cases agree bit by bit") {
  Tensor x = tensor({{0.}, {1.}, {2.}}), t = tensor({1., 3., 5.});
  linco::Judge exact = linco::ridge_judges(0)(x, t, 0), shrunk = linco::ridge_judges(2)(x, t, 0);
  check_close(exact(tensor({{3.}})), {7});
  check_close(shrunk(tensor({{3.}})), {3 + 2 * 4. / (2 + 2)});  // slope Σ(x−x̄)(t−t̄) / (Σ(x−x̄)² + λ) = 4/4
  Generator g(2);
  linco::Cases half{randn({60, 3}, {.generator = &g}), randn({60}, {.generator = &g}), std::vector<int64_t>(60, 0)};
  linco::Cases both{cat({half.x, half.x}), cat({half.t, half.t}), std::vector<int64_t>(120, 0)};
  std::fill(both.group.begin() + 60, both.group.end(), 1);
  linco::JudgeTrainer mlp = linco::mlp_judges({.hidden = {8}, .steps = 20, .batch = 16});
  uint64_t before = default_generator().offset();
  CHECK(to_vector(mlp(half.x, half.t, 5)(half.x)) == to_vector(mlp(half.x, half.t, 5)(half.x)));
  CHECK(default_generator().offset() == before);
  CHECK(to_vector(mlp(half.x, half.t, 5)(half.x)) != to_vector(mlp(half.x, half.t, 6)(half.x)));
  linco::JudgePanel panel = linco::train_judges(both, linco::ridge_judges(), {.seeds = 2});
  Tensor j = panel.judge(half.x);
  CHECK(j.shape() == Shape{60, 2});
  CHECK(linco::linco(j) < 1e-12);
}

TEST_CASE("linco: the excess follows the truth, and unequal groups show as inconsistency unless they are equalised") {
  for (double beta : {0.0, 0.1, 0.4}) {
    linco::SyntheticJudgments made = linco::make_synthetic({.beta = beta}, 3);
    linco::LincoReport r =
        linco::measure_consistency(linco::log_cases(made.train), linco::log_cases(made.evaluation), linco::ridge_judges());
    CHECK(r.excess == doctest::Approx(made.truth).epsilon(.1).scale(.3));  // the card: .3257 for .3266, 0 for 0
    CHECK(r.null_mean > .01);
    CHECK(r.per_judge_error.size() == 3);
    CHECK(r.per_judge_error[0] > .2);  // noise .3: a mean of .24
    CHECK(r.per_judge_error[0] < .35);
    CHECK(r.p_value == doctest::Approx(beta == 0 ? r.p_value : 1. / 6));
    CHECK(r.nulls.size() == 5);
    CHECK(r.per_judge_months.size() == 3);
    CHECK(r.per_judge_months[0] > r.per_judge_error[0]);         // terms are about e³
    CHECK(r.per_seed == std::vector<double>(3, r.per_seed[0]));  // exact judges do not depend on their seed
    CHECK(r.per_seed[0] == doctest::Approx(r.linco));
  }
  linco::SyntheticJudgments unequal = linco::make_synthetic({.beta = 0, .train = 3000, .shares = {.7, .25, .05}}, 5);
  linco::Cases train = linco::log_cases(unequal.train), evaluation = linco::log_cases(unequal.evaluation);
  double all = linco::linco(linco::train_judges(train, linco::ridge_judges(), {.seeds = 1, .equalise = false}).judge(evaluation.x));
  double many = linco::linco(
      linco::train_judges(linco::log_cases(linco::make_synthetic({.beta = 0, .train = 3000}, 5).train), linco::ridge_judges(), {.seeds = 1})
          .judge(evaluation.x));
  CHECK(all > 1.3 * many);
}

TEST_CASE("linco: the permutation test keeps its level without inconsistency and finds it every time with") {
  int found = 0;
  for (uint64_t run = 0; run < 40; ++run)
    for (double beta : {0.0, 0.2}) {
      linco::SyntheticJudgments made = linco::make_synthetic({.beta = beta, .factors = 10, .train = 600, .evaluation = 200}, 100 + run);
      linco::LincoReport r = linco::measure_consistency(linco::log_cases(made.train), linco::log_cases(made.evaluation),
                                                        linco::ridge_judges(), {.panel = {.seeds = 1, .seed = run}, .permutations = 19});
      if (beta == 0)
        found += r.p_value <= .05 + 1e-12;
      else
        CHECK(r.p_value == doctest::Approx(.05));
    }
  CHECK(found <= 6);
}

TEST_CASE("linco: one pooled judge: residuals take an offset away, substitution sees it, and the group's own generator stays") {
  linco::SyntheticJudgments made = linco::make_synthetic({.beta = .3, .train = 1500, .evaluation = 300}, 6);
  linco::Cases train = linco::log_cases(made.train);
  linco::DebiasOptions o{.steps = 250, .lr = 5e-3};
  auto coefficient = [&](linco::Debias how) {
    o.how = how;
    uint64_t before = default_generator().offset();
    double l = linco::linco(linco::judge_by_substitution(linco::train_pooled_judge(train, o, 1), made.evaluation.x, 3));
    CHECK(default_generator().offset() == before);
    return l;
  };
  double none = coefficient(linco::Debias::none);
  CHECK(none == doctest::Approx(made.truth).epsilon(.35));
  CHECK(coefficient(linco::Debias::residual) < .5 * none);
  CHECK(coefficient(linco::Debias::adversarial) < none);
  for (auto how : {linco::Debias::group_dro, linco::Debias::reweighting}) CHECK(coefficient(how) > 0);
  o.gamma = 0, o.how = linco::Debias::adversarial;
  Tensor with = linco::train_pooled_judge(train, o, 1)(made.evaluation.x, 0);
  o.how = linco::Debias::none;
  check_close(with, to_vector(linco::train_pooled_judge(train, o, 1)(made.evaluation.x, 0)),
              1e-6);  // γ = 0 blocks the adversary's gradient
  linco::JudgePanel heads = linco::train_heads(train, o, 1);
  CHECK(linco::linco(heads.judge(made.evaluation.x)) == doctest::Approx(made.truth).epsilon(.25));
}

TEST_CASE("linco: mistakes are named") {
  CHECK_THROWS_WITH_AS(linco::linco(tensor({1., 2.})), "linco: judgments should be [cases, judges], they are [2]", ShapeError);
  CHECK_THROWS_WITH_AS(linco::linco(zeros({0, 3})), "linco: there are no judgments", ValueError);
  CHECK_THROWS_WITH_AS(linco::linco(tensor({{1., 2.}, {3., double(NAN)}})), "linco: judge 1 on case 1 is NaN", ValueError);
  CHECK_THROWS_WITH_AS(linco::log_terms({3, -1}), "linco: the term of case 1 is -1, not a number >= 0", ValueError);
  CHECK_THROWS_WITH_AS(linco::linco_classification(tensor({{{.5, .6}}})), "linco: a judge's probabilities are no distribution", ValueError);
  CHECK_THROWS_WITH_AS(linco::permutation_p_value(1, {}), "linco: a p-value needs permutations", ValueError);
  linco::JudgmentDataset data{zeros({3, 2}), {0, 2, 2}, {1, 2, 3}};
  CHECK_THROWS_WITH_AS(linco::train_judges(linco::log_cases(data), linco::ridge_judges()),
                       "linco: group 0 has 1 cases; a judge needs at least 2", ValueError);
  data.group = {1, 1, 1};
  CHECK_THROWS_WITH_AS(linco::train_judges(linco::log_cases(data), linco::ridge_judges()),
                       "linco: group 0 has 0 cases; a judge needs at least 2", ValueError);
  data.group = {0, 0};
  CHECK_THROWS_WITH_AS(linco::log_cases(data), "linco: features [3, 2], 2 groups, 3 terms", ShapeError);
  linco::Cases two{zeros({4, 1}), zeros({4}), {0, 0, 1, 1}}, three{zeros({3, 1}), zeros({3}), {0, 1, 2}};
  CHECK_THROWS_WITH_AS(linco::measure_consistency(two, three, linco::ridge_judges()),
                       "linco: judged cases are of 3 groups, there are judges for 2", ValueError);
  CHECK_THROWS_WITH_AS(linco::train_judges(two, linco::ridge_judges(), {.seeds = 0}), "linco: a panel needs seeds >= 1, not 0", ValueError);
  CHECK_THROWS_WITH_AS(linco::by_severity(std::vector<double>{1}, std::vector<double>{1, 2}), "linco: 1 severities for 2 cases",
                       ShapeError);
}

TEST_CASE("linco: the experiment measures every variant at the smoke budget") {
  Results results = run_experiment({"fairness", "linco", &linco::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  CHECK(results.cells.size() == linco::experiment().variants.size());
  CHECK(measured(results, "ridge judges", "excess, β = 0.4") == doctest::Approx(.4 * .816497).epsilon(.25));
  CHECK(measured(results, "ridge judges", "excess, β = 0.4") > measured(results, "ridge judges", "excess, β = 0.1"));
  for (const auto& v : linco::experiment().variants) CHECK(measured(results, v.name, "largest error of a judge (log)") < 3);
}

TEST_CASE("linco_debias and linco_tables: the experiments measure every variant at the smoke budget") {
  Results debiased = run_experiment({"fairness", "linco_debias", &linco_debias::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  CHECK(debiased.cells.size() == linco_debias::experiment().variants.size());
  CHECK(measured(debiased, "heads", "excess, offset") >= 0);
  CHECK(measured(debiased, "none", "truth, offset") == doctest::Approx(.0816497).epsilon(1e-5));
  Results tables = run_experiment({"fairness", "linco_tables", &linco_tables::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  CHECK(tables.cells.size() == linco_tables::experiment().variants.size());
  for (const auto& v : linco_tables::experiment().variants) {
    CHECK(measured(tables, v.name, "p") >= .5);  // one permutation
    CHECK(measured(tables, v.name, "LInCo") > 0);
  }
}
