// A pool of models of one table, trained for different mixtures of objectives: how many winners there are (thesis 1), what one measure
// tells of another (thesis 2), how different equally good models are, and what thresholds cannot bring together.
#include "methods/experiment.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "methods/common/fair_tables.h"
#include "methods/fairness/rai_inconsistency/frontier.h"
#include "methods/fairness/rai_inconsistency/incompatibility.h"
#include "methods/fairness/rai_inconsistency/objectives.h"
#include "methods/fairness/rai_inconsistency/pool.h"
#include "methods/fairness/rai_inconsistency/suite.h"
#include "models/metrics/pareto.h"
#include "models/mlp/mlp.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::rai_inconsistency_pool {
namespace {

using namespace rai_inconsistency;

constexpr double kRate = 0.02, kNoise = 0.5, kEpsilon = 0.02, kBudget = 0.05;
constexpr int64_t kHidden = 16;
constexpr double kStrengths[] = {0, 0.3, 1,
                                 3};  // a model's weights of parity, odds and calibration are drawn from these, noise is on or off

// Columns of the pay-off.
enum Column { kError, kParity, kOdds, kPrecision, kCalibration };
const std::vector<std::string>& columns() {
  static const std::vector<std::string> names{"error", "demographic parity", "equalised odds", "predictive parity",
                                              "calibration in the large"};
  return names;
}

const std::vector<Variant>& tables() {
  static const std::vector<Variant> all{{"generated", "eight features, two of them proxies of the group; base rates differ"},
                                        {"German credit", "good risks, by sex; a generated table where the file is missing"},
                                        {"Adult", "income above 50,000, by sex; likewise"},
                                        {"COMPAS", "recidivism within two years, by race; likewise"}};
  return all;
}

// One model's predictions and measures.
struct Model {
  Tensor validation, test;                     // p [n]
  std::vector<double> on_validation, on_test;  // rows of pay-offs
};

std::vector<double> row_of(const Tensor& p, const FairPart& part) {
  MetricSuite suite = evaluate_predictions(p, part.y, part.a);
  std::vector<double> row;
  for (const std::string& name : columns()) row.push_back(value_of(suite, name));
  return row;
}

Model train(const FairSplit& split, const std::vector<double>& weights, int64_t steps) {
  mlp::Mlp network({.inputs = split.train.x.size(1), .hidden = {kHidden}, .outputs = 1});
  TensorFunction model = [&](const Tensor& x) { return squeeze(network(x), 1); };
  std::vector<Objective> objectives{cross_entropy_objective(), demographic_parity_objective(), equalised_odds_objective(),
                                    calibration_objective(), noise_objective(kNoise)};
  train_multi_objective(network, model, split.train.x, split.train.y, to(split.train.a, f32), objectives,
                        {.weights = weights, .steps = steps, .lr = kRate});
  NoGrad off;
  auto predicted = [&](const FairPart& part) { return sigmoid(to(model({part.x})[0], f64)); };
  Model m{predicted(split.validation), predicted(split.test)};
  m.on_validation = row_of(m.validation, split.validation), m.on_test = row_of(m.test, split.test);
  return m;
}

// Clean or noisy cross-entropy, and three strengths; the first model is trained for accuracy alone.
std::vector<double> drawn_weights(size_t number, Generator& g) {
  if (number == 0) return {1, 0, 0, 0, 0};
  std::vector<double> w{1, 0, 0, 0, 0};
  for (size_t k = 1; k <= 3; ++k) w[k] = kStrengths[g.next_below(4)];
  if (g.next_below(2) == 1) std::swap(w[0], w[4]);
  return w;
}

bool defined(const std::vector<double>& row) {
  return std::ranges::all_of(row, [](double v) { return std::isfinite(v); });
}

std::vector<int> decisions_of(const Tensor& p) {
  std::vector<int> h;
  for (double v : to_vector(p)) h.push_back(v >= 0.5);
  return h;
}

// Members are chosen by validation rows; what they do is seen on test rows.
void report_rashomon(Cell& cell, const std::vector<Model>& pool, const Matrix& chosen_by, const Matrix& payoff) {
  std::vector<double> errors;
  std::vector<std::vector<int>> decisions;
  for (size_t m = 0; m < pool.size(); ++m) errors.push_back(chosen_by[m][kError]), decisions.push_back(decisions_of(pool[m].test));
  RashomonReport r = rashomon(errors, decisions, payoff, kEpsilon);
  cell.metric("as good as the best (%)", 100 * static_cast<double>(r.members.size()) / static_cast<double>(pool.size()));
  cell.metric("ambiguity (%)", 100 * r.ambiguity);
  cell.metric("discrepancy (%)", 100 * r.discrepancy);
  cell.metric("range of parity among the good", r.high[kParity] - r.low[kParity]);
  cell.metric("range of odds among the good", r.high[kOdds] - r.low[kOdds]);
}

// What the choice of one who cares for all measures alike costs, at most, one of five who care for one each; in scaled measures.
double regret_of_all_alike(const Matrix& payoff) {
  std::vector<Stakeholder> who{{"all alike", std::vector<double>(columns().size(), 1.0 / static_cast<double>(columns().size()))}};
  for (size_t j = 0; j < columns().size(); ++j) {
    who.push_back({columns()[j], std::vector<double>(columns().size(), 0)});
    who.back().weights[j] = 1;
  }
  return *std::ranges::max_element(choices(payoff, who).regret[0]);
}

void report_theses(Cell& cell, const Matrix& chosen_by, const Matrix& payoff) {
  Winners w = winners(chosen_by);
  cell.metric("distinct winners", static_cast<double>(w.distinct));
  double regret = 0;  // what choosing by accuracy costs by parity, on the test rows
  for (const auto& row : payoff) regret = std::max(regret, payoff[w.winner[kError]][kParity] - row[kParity]);
  cell.metric("parity lost by choosing for accuracy", regret);
  cell.metric("R² of predictive parity from parity", leave_one_out_r2(payoff, kPrecision, {kParity}));
  cell.metric("R² of predictive parity from all others", leave_one_out_r2(payoff, kPrecision, {kError, kParity, kOdds, kCalibration}));
  cell.metric("R² of odds from parity", leave_one_out_r2(payoff, kOdds, {kParity}));
  cell.metric("effective rank", effective_rank(payoff));
  Matrix rho = rank_correlations(payoff);
  cell.metric("ρ of parity and odds", rho[kParity][kOdds]);
  cell.metric("ρ of error and parity", rho[kError][kParity]);
  cell.metric("compromise level", compromise(payoff).level);
  cell.metric("regret of a choice for all alike", regret_of_all_alike(payoff));
  Matrix front;
  for (const auto& row : payoff) front.push_back({row[kError], row[kParity], row[kOdds]});
  cell.metric("hypervolume", metrics::hypervolume(front, {0.5, 0.5, 0.5}));
  cell.metric("Pareto-optimal (%)", 100 * static_cast<double>(metrics::pareto_set(payoff).size()) / static_cast<double>(payoff.size()));
  for (int k = 0; k <= 30; ++k) {  // the pool's own front; a point that no model reaches is left out
    double most = 0.01 * k, error = INFINITY;
    for (const auto& row : payoff)
      if (row[kParity] <= most) error = std::min(error, row[kError]);
    cell.point("least error of a model of the pool (%)", "largest parity gap allowed", most, 100 * error);
  }
}

void report_incompatibilities(Cell& cell, const std::vector<Model>& pool, const Model& accurate_model, const FairPart& test, int64_t grid) {
  double residual = 0, slack = INFINITY, kleinberg = INFINITY;
  for (const Model& m : pool) {
    IncompatibilityReport r = incompatibilities(m.test, test.y, test.a);
    residual = std::max(residual, r.residual), slack = std::min(slack, r.zhao_gordon_slack), kleinberg = std::min(kleinberg, r.kleinberg());
  }
  IncompatibilityReport accurate = incompatibilities(accurate_model.test, test.y, test.a);
  cell.metric("identity residual", residual);
  cell.metric("Zhao–Gordon slack", slack);
  cell.metric("least of Kleinberg's largest", kleinberg);
  cell.metric("implied gap of FPR", accurate.implied_gap);
  ThresholdFrontier f = frontier(accurate_model.test, test.y, test.a, grid, kBudget);
  double single = 0;
  for (size_t d = 0; d < kDefinitions; ++d) single = std::max(single, f.feasibility({d}));
  cell.metric("joint level t*", f.joint_level());
  cell.metric("largest single level", single);
  cell.metric("parity against precision", f.contradiction(0, 2));
  cell.metric("odds against precision", f.contradiction(1, 2));
  cell.metric("parity against odds", f.contradiction(0, 1));
  for (int k = 0; k <= 30; ++k) {
    double most = 0.01 * k;
    for (size_t d = 0; d < kDefinitions; ++d)
      cell.point("least error by group thresholds (%)", "largest gap allowed", most, 100 * f.least_error(d, most), definition_names()[d]);
    cell.point("least error by group thresholds (%)", "largest gap allowed", most, 100 * f.least_error({0, 1, 2}, most), "all three");
  }
}

void run(Cell& cell) {
  auto split = cell.shared(cell.variant(), [&] {
    Generator& g = default_generator();
    bool smoke = cell.budget() == Budget::smoke, generated = smoke || cell.is("generated");
    FairTable table = generated ? generated_fair_table(smoke ? 360 : 5000, g) : fair_table(cell.variant(), g);
    int64_t rows = std::min<int64_t>(table.rows(), 5278);
    return split_fair_table(table, rows * 45 / 100, rows * 25 / 100, g, rows * 30 / 100);
  });
  size_t models = cell.pick<size_t>(8, 40, 60);
  int64_t steps = cell.pick<int64_t>(20, 150, 400);
  Generator weights(cell.seed() + 1);
  std::vector<Model> pool;  // those whose every measure is defined
  Model accurate;
  Matrix chosen_by, payoff;
  for (size_t m = 0; m < models; ++m) {
    Model one = train(*split, drawn_weights(m, weights), steps);
    if (m == 0) accurate = one;
    if (defined(one.on_validation) && defined(one.on_test)) {
      chosen_by.push_back(one.on_validation), payoff.push_back(one.on_test);
      pool.push_back(std::move(one));
    }
    cell.progress(static_cast<double>(m + 1) / static_cast<double>(models));
  }
  cell.metric("models with every measure", static_cast<double>(pool.size()));
  report_theses(cell, chosen_by, payoff);
  report_rashomon(cell, pool, chosen_by, payoff);
  report_incompatibilities(cell, pool, accurate, split->test, cell.pick<int64_t>(20, 100, 100));
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "RAI inconsistency: pools of models";
  e.paper =
      "Dai & Xiao, Embracing Contradiction: Theoretical Inconsistency Will Not Impede the Road of Building Responsible AI Systems, NeurIPS "
      "2025";
  e.claim = "Measures of one concept choose different models, do not follow from one another, and cannot all be met by any thresholds.";
  e.metrics = {{"distinct winners", Better::neither},
               {"parity lost by choosing for accuracy", Better::neither},
               {"R² of predictive parity from parity", Better::neither},
               {"R² of predictive parity from all others", Better::neither},
               {"R² of odds from parity", Better::neither},
               {"effective rank", Better::neither},
               {"ρ of parity and odds", Better::neither},
               {"ρ of error and parity", Better::neither},
               {"compromise level", Better::neither},
               {"regret of a choice for all alike", Better::neither},
               {"hypervolume", Better::neither},
               {"Pareto-optimal (%)", Better::neither},
               {"as good as the best (%)", Better::neither},
               {"ambiguity (%)", Better::neither},
               {"discrepancy (%)", Better::neither},
               {"range of parity among the good", Better::neither},
               {"range of odds among the good", Better::neither},
               {"identity residual", Better::lower},
               {"Zhao–Gordon slack", Better::neither},
               {"least of Kleinberg's largest", Better::neither},
               {"implied gap of FPR", Better::neither},
               {"joint level t*", Better::neither},
               {"largest single level", Better::neither},
               {"parity against precision", Better::neither},
               {"odds against precision", Better::neither},
               {"parity against odds", Better::neither},
               {"models with every measure", Better::neither}};
  e.variants = tables();
  e.baseline = "generated";
  e.method = "COMPAS";
  e.run = run;
  return e;
}

}  // namespace plumb::methods::rai_inconsistency_pool
